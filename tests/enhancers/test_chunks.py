import pytest
import torch

from auricle.config import build
from auricle.enhancers.chunks import ChunkConfig, enhance_long
from auricle.enhancers.registry import build_enhancer
from auricle.errors import ConfigError

RATE_HZ = 16000
CONFIG = ChunkConfig(chunk_s=1.0, overlap_s=0.25, batch=2)


@pytest.fixture(scope="module")
def enhancer():
    torch.manual_seed(0)
    return build_enhancer("tf_fusion", {"channels": 4, "width": 16, "video_width": 8, "layers": 1}).eval()


def open_mask(enhancer, monkeypatch):
    """An enhancer that lets everything pass: what comes out is what the chunking made of it."""
    monkeypatch.setattr(enhancer, "mask_logits", lambda mix, frames: torch.full((len(mix), 257, -(-mix.shape[1] // 256) + 1), 40.0))


def noise(seconds, channels=1):
    return torch.randn(channels, round(seconds * RATE_HZ), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("seconds", [0.01, 0.99, 1.0, 1.01, 1.7501, 2.5, 7.77])
@pytest.mark.parametrize("channels", [1, 2])
def test_chunks_add_up_to_the_recording(enhancer, monkeypatch, seconds, channels):
    open_mask(enhancer, monkeypatch)
    audio = noise(seconds, channels)
    assert torch.allclose(enhance_long(enhancer, audio, None, CONFIG), audio, atol=1e-4)


def test_a_slow_fade_leaves_no_hole(enhancer, monkeypatch):
    open_mask(enhancer, monkeypatch)
    audio = noise(8.3)
    assert torch.allclose(enhance_long(enhancer, audio, None, ChunkConfig(chunk_s=4.0, overlap_s=2.0)), audio, atol=1e-4)


def test_a_short_recording_goes_through_as_it_is(enhancer):
    audio, frames = noise(0.8), torch.randint(1, 255, (20, 32, 32), dtype=torch.uint8)
    assert torch.allclose(enhance_long(enhancer, audio, frames, CONFIG), enhancer.enhance(audio, frames[None]), atol=1e-6)


def test_each_chunk_sees_its_own_pictures_and_black_where_there_are_none(enhancer, monkeypatch):
    seen = []

    def record(mix, frames):
        seen.extend(frames[:, :, 0, 0].tolist())
        return torch.zeros(len(mix), 257, -(-mix.shape[1] // 256) + 1)

    monkeypatch.setattr(enhancer, "mask_logits", record)
    frames = torch.arange(1, 46, dtype=torch.uint8)[:, None, None].expand(-1, 32, 32)  # 1.8 s of 2.4 s
    enhance_long(enhancer, noise(2.4), frames, CONFIG)
    assert [part[0] for part in seen] == [1, 20, 36]
    assert all(len(part) == 25 for part in seen)
    assert seen[-1] == [*range(36, 46), *[0] * 15]


def test_channels_share_one_mask(enhancer):
    audio = noise(2.2)
    pair = enhance_long(enhancer, torch.cat([audio, 0.5 * audio]), None, CONFIG)
    assert torch.allclose(pair[1], 0.5 * pair[0], atol=1e-5)
    assert torch.allclose(pair[0], enhance_long(enhancer, audio, None, CONFIG)[0], atol=1e-4)


def test_the_batch_makes_no_difference_and_progress_ends_at_the_total(enhancer):
    calls = []
    one = enhance_long(enhancer, noise(3.3), None, CONFIG.model_copy(update={"batch": 1}), lambda *at: calls.append(at))
    many = enhance_long(enhancer, noise(3.3), None, CONFIG.model_copy(update={"batch": 16}))
    assert torch.allclose(one, many, atol=1e-5)
    assert calls[-1][0] == calls[-1][1] == len(calls)


def test_an_overlap_beyond_half_a_chunk_is_refused():
    with pytest.raises(ConfigError, match="more than half of chunk_s"):
        build(ChunkConfig, {"chunk_s": 1.0, "overlap_s": 0.6}, source="test")
