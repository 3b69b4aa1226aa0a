import shutil

import numpy as np
import pytest
import torch

from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.recording import read_recording, write_recording
from auricle.enhancers.registry import build_enhancer
from auricle.scenes.film import write_film
from pipelines import enhance
from pipelines.run_folder import RunFolder
from tests.runs import write_run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    enhancer = build_enhancer("tf_fusion", {"channels": 4, "width": 16, "video_width": 8, "layers": 1})
    with torch.no_grad():
        enhancer.head.weight.zero_()
        enhancer.head.bias.fill_(0.0)  # a mask of one half everywhere
    return save_enhancer(enhancer, tmp_path_factory.mktemp("enhancer"))


def noise(seconds, rate_hz, channels):
    return 0.1 * np.random.default_rng(0).standard_normal((channels, round(seconds * rate_hz))).astype(np.float32)


def run(*arguments):
    return enhance.main([str(argument) for argument in arguments])


def test_a_long_stereo_file_keeps_its_length_rate_and_channels(tmp_path, checkpoint, capsys):
    write_recording(tmp_path / "in.wav", noise(11.3, 22050, 2), 22050)
    assert run(tmp_path / "in.wav", "-o", tmp_path / "out.flac", "--checkpoint", checkpoint, "--set", "enhance.chunk_s=4") == 0
    source, cleaned = read_recording(tmp_path / "in.wav"), read_recording(tmp_path / "out.flac")
    assert cleaned.audio.shape == source.audio.shape
    assert cleaned.sample_rate_hz == 22050
    band = slice(20, round(7000 * 11.3))  # what the enhancer's 16 kHz can carry
    before, after = (np.abs(np.fft.rfft(r.audio, axis=1))[:, band] for r in (source, cleaned))
    assert (after.sum(1) / before.sum(1)).tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert "11.3 s, 22050 Hz, 2 channels, heard only" in capsys.readouterr().out


def test_a_runs_folder_or_a_checkpoints_stands_for_the_enhancer_in_it(tmp_path, checkpoint):
    folder = write_run(tmp_path / "runs", samples=0)
    _, best = RunFolder.open(folder).best_checkpoint()
    shutil.rmtree(best / "enhancer")
    shutil.copytree(checkpoint, best / "enhancer")
    write_recording(tmp_path / "in.wav", noise(1.0, 16000, 1), 16000)
    for number, named in enumerate((folder, best, checkpoint)):
        assert run(tmp_path / "in.wav", "-o", tmp_path / f"{number}.wav", "--checkpoint", named) == 0
    assert len({(tmp_path / f"{number}.wav").read_bytes() for number in range(3)}) == 1


def test_a_film_comes_back_with_its_picture(tmp_path, checkpoint, capsys):
    generator = np.random.default_rng(0)
    write_film(tmp_path / "silent.mp4", [generator.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(50)], 25.0)
    write_recording(tmp_path / "in.mp4", noise(2.0, 16000, 1), 16000, picture_of=tmp_path / "silent.mp4")
    assert run(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", "--checkpoint", checkpoint, "--channels", "mono") == 0
    assert read_recording(tmp_path / "out.mp4").has_picture
    captured = capsys.readouterr()
    assert "heard and seen, picture copied" in captured.out
    assert "no face was found" in captured.err
    assert run(tmp_path / "in.mp4", "-o", tmp_path / "out.wav", "--checkpoint", checkpoint, "--audio-only") == 0
    assert not read_recording(tmp_path / "out.wav").has_picture
    assert "heard only" in capsys.readouterr().out


def test_a_face_can_be_given_beside_the_sound(tmp_path, checkpoint, capsys):
    write_film(tmp_path / "face.mp4", [np.full((96, 96, 3), 40 + k, np.uint8) for k in range(25)], 25.0)
    write_recording(tmp_path / "in.wav", noise(1.0, 16000, 1), 16000)
    assert run(tmp_path / "in.wav", "--face", tmp_path / "face.mp4", "-o", tmp_path / "out.wav", "--checkpoint", checkpoint) == 0
    assert "heard and seen" in capsys.readouterr().out


def test_an_output_is_not_overwritten_unless_forced(tmp_path, checkpoint, capsys):
    write_recording(tmp_path / "in.wav", noise(0.5, 16000, 1), 16000)
    before = (tmp_path / "in.wav").read_bytes()
    assert run(tmp_path / "in.wav", "-o", tmp_path / "in.wav", "--checkpoint", checkpoint) == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "in.wav").read_bytes() == before
    assert run(tmp_path / "in.wav", "-o", tmp_path / "in.wav", "--checkpoint", checkpoint, "--force") == 0
    assert (tmp_path / "in.wav").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav", "-o", "out.wav"], "missing.wav: no such file"),
        (["in.wav", "-o", "."], "is a folder"),
        (["in.wav", "-o", "out.mp4"], "has no picture"),
        (["in.wav", "-o", "out.wav", "--checkpoint", "nowhere"], "nowhere: no such checkpoint folder"),
        (["in.wav", "-o", "out.wav", "--device", "warp"], "try --device cpu"),
        (["in.wav", "-o", "out.wav", "--set", "enhance.chunk_s=0"], "enhance.chunk_s"),
        (["in.wav", "-o", "out.wav", "--set", "enhance.chunks=1"], "unknown key 'enhance.chunks'"),
        (["text.wav", "-o", "out.wav"], "not a readable audio file"),
    ],
)
def test_faults_are_one_clear_line(tmp_path, checkpoint, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "in.wav", noise(0.5, 16000, 1), 16000)
    (tmp_path / "text.wav").write_text("not a sound, but more than nothing: long enough to be looked at")
    with_checkpoint = [] if "--checkpoint" in arguments else ["--checkpoint", checkpoint]
    assert run(*arguments, *with_checkpoint) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.wav").exists()
