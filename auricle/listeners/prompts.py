"""The form of a prompt: audio placeholders, the question, and the mark after which the listener answers."""

AUDIO, BOS, EOS, PAD, ANSWER = "<audio>", "<bos>", "<eos>", "<pad>", "<answer>"
SPECIAL_TOKENS = (PAD, BOS, EOS, AUDIO, ANSWER)

CHAT_TEMPLATE = (
    "{{ '" + BOS + "' }}{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] in ('audio', 'audio_url', 'input_audio') %}{{ '" + AUDIO + "' }}{% endif %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '" + ANSWER + "' }}{% endif %}"
)
"""One user message with audio and text, as chat interfaces send it; equal to `prompt` with a leading <bos>."""


def prompt(question: str, audios: int = 1) -> str:
    """The prompt text without <bos>, which the tokenizer adds: one placeholder an audio, the question, the answer mark."""
    return AUDIO * audios + question + ANSWER
