import av
import numpy as np
import pytest

from auricle.enhancers.recording import read_recording, write_recording
from auricle.errors import MediaError
from auricle.scenes.film import write_film


def sweep(seconds=1.2, rate_hz=16000, channels=1):
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (200 * time + 1500 / seconds * time**2)
    return np.stack([0.3 * np.sin((k + 1) * phase) for k in range(channels)]).astype(np.float32)


@pytest.fixture
def silent_film(tmp_path):
    pictures = [np.full((48, 64, 3), 3 * k, np.uint8) for k in range(30)]
    write_film(tmp_path / "silent.mp4", pictures, 25.0)
    return tmp_path / "silent.mp4"


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def decoded_times(path):
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("suffix", "channels", "rate_hz"), [(".wav", 1, 44100), (".wav", 2, 8000), (".flac", 2, 48000), (".flac", 3, 16000)]
)
def test_sound_files_keep_rate_and_channels(tmp_path, suffix, channels, rate_hz):
    audio = sweep(rate_hz=rate_hz, channels=channels)
    assert write_recording(tmp_path / f"a{suffix}", audio, rate_hz) == 0
    back = read_recording(tmp_path / f"a{suffix}")
    assert (back.sample_rate_hz, back.has_picture) == (rate_hz, False)
    assert back.audio == pytest.approx(audio, abs=1e-4)


@pytest.mark.parametrize(("suffix", "rate_hz"), [(".mp4", 16000), (".mkv", 44100), (".mov", 48000)])
def test_a_films_picture_is_copied_and_its_sound_replaced(tmp_path, silent_film, suffix, rate_hz):
    audio = sweep(1.2, rate_hz, channels=2)
    path = tmp_path / f"film{suffix}"
    write_recording(path, audio, rate_hz, picture_of=silent_film)
    assert len(packets(path)) == 30
    assert packets(path) == packets(silent_film)
    assert decoded_times(path) == pytest.approx(decoded_times(silent_film), abs=0.01)
    back = read_recording(path)
    assert (back.sample_rate_hz, back.has_picture, back.audio.shape[0]) == (rate_hz, True, 2)
    both = min(back.audio.shape[1], audio.shape[1])
    assert both >= 0.98 * audio.shape[1]
    lag = np.argmax(np.correlate(back.audio[0, :both], audio[0, 2000 : both - 2000], "valid")) - 2000
    assert abs(lag) < rate_hz * 0.002
    assert np.corrcoef(back.audio[1, :both], audio[1, :both])[0, 1] > 0.95


def test_the_picture_of_a_real_film_of_another_codec_is_kept(tmp_path, shared_data):
    source = shared_data / "av_grid" / "bbaf2n.mpg"
    recording = read_recording(source)
    assert (recording.sample_rate_hz, recording.has_picture) == (44100, True)
    write_recording(tmp_path / "a.mp4", recording.audio, recording.sample_rate_hz, picture_of=source)
    assert len(decoded_times(tmp_path / "a.mp4")) == len(decoded_times(source)) == 75
    again = read_recording(tmp_path / "a.mp4").audio
    both = min(again.shape[1], recording.audio.shape[1])
    assert np.corrcoef(again[0, :both], recording.audio[0, :both])[0, 1] > 0.95


def test_samples_beyond_full_scale_are_counted(tmp_path):
    assert write_recording(tmp_path / "a.flac", 4 * sweep(channels=2), 16000) > 100


def test_what_cannot_be_read_or_written_says_so(tmp_path, silent_film):
    with pytest.raises(MediaError, match="no such file"):
        read_recording(tmp_path / "nothing.mp4")
    with pytest.raises(MediaError, match="no sound"):
        read_recording(silent_film)
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(MediaError, match="is it an audio or video file"):
        read_recording(tmp_path / "text.mp4")
    with pytest.raises(MediaError, match=r"\.mkv holds any"):
        write_recording(tmp_path / "film.webm", sweep(), 16000, picture_of=silent_film)  # webm holds no H.264
    assert not (tmp_path / "film.webm").exists()
    with pytest.raises(MediaError, match="--channels mono"):
        write_recording(tmp_path / "film.mp4", sweep(channels=3), 16000, picture_of=silent_film)
    with pytest.raises(MediaError, match="NaN"):
        write_recording(tmp_path / "a.wav", sweep() * np.nan, 16000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["silent.mp4", "text.mp4"]
