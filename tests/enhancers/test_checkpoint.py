import json

import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from auricle.config import Config
from auricle.enhancers.checkpoint import load_enhancer, save_enhancer
from auricle.enhancers.interface import Enhancer
from auricle.enhancers.registry import build_enhancer
from auricle.errors import CheckpointError, ConfigError

SMALL = {"channels": 4, "width": 16, "video_width": 8, "layers": 1}


class GainConfig(Config):
    sample_rate_hz: int = 8000


class Gain(Enhancer):
    """A user's own enhancer: one learned gain."""

    config: GainConfig

    def __init__(self, config: GainConfig):
        super().__init__()
        self.config = config
        self.sample_rate_hz, self.frame_rate_hz, self.frame_size_px, self.hop_s = config.sample_rate_hz, 25.0, 32, 0.01
        self.gain = nn.Parameter(torch.zeros(1))

    @property
    def bin_frequencies_hz(self) -> Float[Tensor, " bins"]:
        return torch.tensor([1000.0])

    def mask_logits(self, mix, frames):
        return self.gain.expand(len(mix), 1, 1)

    def apply_mask(self, mix, logits):
        return mix * torch.sigmoid(logits[:, 0])


def test_a_saved_enhancer_comes_back_equal(tmp_path):
    torch.manual_seed(0)
    enhancer = build_enhancer("tf_fusion", SMALL)
    save_enhancer(enhancer, tmp_path / "enhancer", card="# Card\n")
    again = load_enhancer(tmp_path / "enhancer")
    mix, frames = torch.randn(2, 4000), torch.randint(0, 255, (2, 7, 32, 32), dtype=torch.uint8)
    assert torch.equal(enhancer.enhance(mix, frames), again.enhance(mix, frames))
    assert not again.training
    assert again.config == enhancer.config
    assert sorted(p.name for p in (tmp_path / "enhancer").iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_saving_again_keeps_the_card(tmp_path):
    enhancer = build_enhancer("tf_fusion", SMALL)
    save_enhancer(enhancer, tmp_path, card="# Card\n")
    save_enhancer(enhancer, tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Card\n"


def test_a_users_own_class_is_found_by_path(tmp_path):
    enhancer = build_enhancer(f"{__name__}:Gain", {"sample_rate_hz": 48000})
    save_enhancer(enhancer, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["class"] == f"{__name__}:Gain"
    assert isinstance(load_enhancer(tmp_path), Gain)
    assert load_enhancer(tmp_path).sample_rate_hz == 48000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_fusoin", "did you mean 'tf_fusion'"),
        ("no.such.module:Net", "cannot import"),
        ("torch.nn:NoSuchThing", "has no NoSuchThing"),
        ("torch.nn:Linear", "no Enhancer"),
    ],
)
def test_classes_that_cannot_be_used(name, message):
    with pytest.raises(ConfigError, match=message):
        build_enhancer(name, {})


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        build_enhancer("tf_fusion", {"widht": 3})


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        load_enhancer(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_enhancer(tmp_path)
    save_enhancer(build_enhancer("tf_fusion", SMALL), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        load_enhancer(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    save_enhancer(build_enhancer("tf_fusion", SMALL), tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_enhancer(tmp_path)


def test_a_wrong_shape_names_the_tensor_and_both_shapes(tmp_path):
    save_enhancer(build_enhancer("tf_fusion", SMALL), tmp_path)
    description = json.loads((tmp_path / "config.json").read_text())
    description["options"]["width"] = 24
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"tensor '[\w.]+' has shape \(.*16.*\), but TFFusion with these options has \(.*24.*\)"):
        load_enhancer(tmp_path)


def test_missing_unexpected_and_broken_tensors_are_named(tmp_path):
    save_enhancer(build_enhancer("tf_fusion", SMALL), tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    bias = tensors.pop("head.bias")
    save_file({**tensors, "stray": bias}, path)
    with pytest.raises(CheckpointError, match=r"1 missing tensor \(head.bias\); 1 unexpected tensor \(stray\)"):
        load_enhancer(tmp_path)
    save_file({**tensors, "head.bias": bias * float("nan")}, path)
    with pytest.raises(CheckpointError, match=r"'head.bias' holds NaN"):
        load_enhancer(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', '{"format": "auricle-enhancer-1", "class": 3}'])
def test_a_foreign_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_enhancer(tmp_path)
