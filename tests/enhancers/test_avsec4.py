import pytest
import torch
import torch.nn.functional as F

from auricle.enhancers.avsec4 import Avsec4Baseline, Avsec4Config, from_official_checkpoint
from auricle.enhancers.checkpoint import load_enhancer, save_enhancer
from auricle.enhancers.exploration import ExplorationConfig, Explorer
from auricle.enhancers.registry import build_enhancer
from auricle.errors import CheckpointError

SMALL = {"filters": 16, "filter_samples": 40, "features": 12, "hidden": 20, "blocks": 2, "repeats": 2, "visual_channels": 2}


def official_names(*, blocks=8, repeats=4):
    """The tensors that the challenge's own modules have, as facts read in its repository (baseline/avse4)."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["model.encoder.conv1d_U.weight", "model.decoder.basis_signals.weight"]
    names += [f"model.separator.{n}" for n in ("layer_norm.weight", "layer_norm.bias", "bottleneck_conv1x1.weight", "mask_conv1x1.weight")]
    block = ("net.0.weight", "net.1.weight", "net.2.gamma", "net.2.beta")
    for r in range(repeats):
        names += [f"model.separator.ve_conv1x1.{r}.weight", f"model.separator.tcn.{r}.0.weight"]
        for x in range(1, blocks + 1):
            names += [f"model.separator.tcn.{r}.{x}.{n}" for n in block]
            names += [f"model.separator.tcn.{r}.{x}.net.3.{n}" for n in (*block, "net.3.weight")]
    for v in range(5):
        names += [f"model.separator.visual_conv.{v}.net.{n}.weight" for n in (2, 3, 5)]
        names += [f"model.separator.visual_conv.{v}.net.{b}.{n}" for b in (1, 4) for n in norm]
    names += ["visual_frontend.frontend3D.0.weight", *(f"visual_frontend.frontend3D.1.{n}" for n in norm)]
    for layer in range(1, 5):
        at = f"visual_frontend.resnet.layer{layer}"
        names += [f"{at}.{n}.weight" for n in ("conv1a", "conv2a", "downsample", "conv1b", "conv2b")]
        names += [f"{at}.{b}.{n}" for b in ("bn1a", "outbna", "bn1b", "outbnb") for n in norm]
    return names


def small(**options):
    torch.manual_seed(0)
    enhancer = build_enhancer("avsec4", SMALL | options)
    for name, value in enhancer.state_dict().items():  # norms that do something
        if name.endswith(("running_var", "gamma")):
            value.uniform_(0.5, 2.0)
        elif name.endswith(("running_mean", "beta", "bias")):
            value.normal_(0, 0.1)
    return enhancer.eval()


def clip(samples=16000, frames=25, batch=1):
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(batch, samples, generator=generator), torch.randint(
        0, 256, (batch, frames, 112, 112), dtype=torch.uint8, generator=generator
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_names_and_shapes_are_the_official_ones(channels):
    with torch.device("meta"):
        tensors = _state_without_init(channels)
    assert set(tensors) - {"filter_frequencies_hz"} == set(official_names())
    shapes = {name: tuple(tensors[name].shape) for name in tensors}
    assert shapes["model.encoder.conv1d_U.weight"] == (256, channels, 40)
    assert shapes["model.separator.mask_conv1x1.weight"] == (256 * channels, 256, 1)
    assert shapes["model.separator.tcn.3.0.weight"] == (256, 512, 1)
    assert shapes["model.separator.tcn.0.8.net.3.net.0.weight"] == (512, 1, 3)
    assert shapes["model.separator.tcn.0.1.net.2.gamma"] == (1, 512, 1)
    assert shapes["model.separator.ve_conv1x1.0.weight"] == (256, 512, 1)
    assert shapes["model.decoder.basis_signals.weight"] == (40, 256)
    assert shapes["visual_frontend.frontend3D.0.weight"] == (64, 1, 5, 7, 7)
    assert shapes["visual_frontend.resnet.layer4.downsample.weight"] == (512, 256, 1, 1)


def _state_without_init(channels):
    return Avsec4Baseline(Avsec4Config(audio_channels=channels)).state_dict()


def by_the_book(tensors, mix, frames, *, blocks, repeats, channels):
    """The baseline's computation, from its description, as plain functions of the checkpoint's tensors."""
    t = tensors

    def norm(x, name, eps):
        return F.batch_norm(x, t[name + ".running_mean"], t[name + ".running_var"], t[name + ".weight"], t[name + ".bias"], eps=eps)

    def global_norm(x, name):
        centred = x - x.mean((1, 2), keepdim=True)
        return t[name + ".gamma"] * centred / (centred.square().mean((1, 2), keepdim=True) + 1e-8).sqrt() + t[name + ".beta"]

    x = (frames[:, None].float() / 255 - 0.4161) / 0.1688
    x = F.conv3d(x, t["visual_frontend.frontend3D.0.weight"], stride=(1, 2, 2), padding=(2, 3, 3))
    x = F.max_pool3d(F.relu(norm(x, "visual_frontend.frontend3D.1", 1e-3)), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = x.transpose(1, 2).flatten(0, 1)
    for layer in range(1, 5):
        at, stride = f"visual_frontend.resnet.layer{layer}.", 1 if layer == 1 else 2
        skip = x if layer == 1 else F.conv2d(x, t[at + "downsample.weight"], stride=2)
        x = F.relu(norm(F.conv2d(x, t[at + "conv1a.weight"], stride=stride, padding=1), at + "bn1a", 1e-3))
        middle = F.conv2d(x, t[at + "conv2a.weight"], padding=1) + skip
        x = F.relu(norm(F.conv2d(F.relu(norm(middle, at + "outbna", 1e-3)), t[at + "conv1b.weight"], padding=1), at + "bn1b", 1e-3))
        x = F.relu(norm(F.conv2d(x, t[at + "conv2b.weight"], padding=1) + middle, at + "outbnb", 1e-3))
    seen = F.avg_pool2d(x, 4).flatten(1).unflatten(0, frames.shape[:2]).mT
    for v in range(5):
        at = f"model.separator.visual_conv.{v}.net."
        x = norm(F.relu(seen), at + "1", 1e-5)
        x = F.prelu(F.conv1d(x, t[at + "2.weight"], padding=1, groups=x.shape[1]), t[at + "3.weight"])
        seen = seen + F.conv1d(norm(x, at + "4", 1e-5), t[at + "5.weight"])

    weight = t["model.encoder.conv1d_U.weight"]
    heard = F.relu(F.conv1d(mix[:, None].repeat(1, channels, 1), weight, stride=20))
    x = F.layer_norm(heard.mT, (heard.shape[1],), t["model.separator.layer_norm.weight"], t["model.separator.layer_norm.bias"]).mT
    x = F.conv1d(x, t["model.separator.bottleneck_conv1x1.weight"])
    for r in range(repeats):
        v = F.conv1d(seen, t[f"model.separator.ve_conv1x1.{r}.weight"])
        v = F.interpolate(v, 32 * v.shape[2], mode="linear")
        x = F.conv1d(torch.cat([x, F.pad(v, (0, x.shape[2] - v.shape[2]))], 1), t[f"model.separator.tcn.{r}.0.weight"])
        for b in range(blocks):
            at = f"model.separator.tcn.{r}.{b + 1}.net."
            y = global_norm(F.prelu(F.conv1d(x, t[at + "0.weight"]), t[at + "1.weight"]), at + "2")
            y = F.conv1d(y, t[at + "3.net.0.weight"], padding=2**b, dilation=2**b, groups=y.shape[1])
            y = global_norm(F.prelu(y, t[at + "3.net.1.weight"]), at + "3.net.2")
            x = x + F.conv1d(y, t[at + "3.net.3.weight"])
    mask = F.relu(F.conv1d(x, t["model.separator.mask_conv1x1.weight"])).reshape(len(mix), channels, -1, heard.shape[2])
    parts = (heard[:, None] * mask).mT @ t["model.decoder.basis_signals.weight"].T
    audio = torch.zeros(len(mix), channels, mix.shape[1])
    for k in range(parts.shape[2]):
        audio[:, :, 20 * k : 20 * k + 40] += parts[:, :, k]
    return audio.mean(1)


@pytest.mark.parametrize("channels", [1, 2])
def test_it_computes_what_the_baseline_computes(channels):
    enhancer = small(audio_channels=channels)
    mix, frames = clip(batch=2)
    expected = by_the_book(enhancer.state_dict(), mix, frames, blocks=2, repeats=2, channels=channels)
    assert torch.allclose(enhancer.enhance(mix, frames), expected, atol=1e-5)
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize(("samples", "frames"), [(7, 1), (16000, 24), (16000, 27), (12345, 19)])
def test_any_length_comes_back_at_its_length(samples, frames):
    mix, pictures = clip(samples, frames)
    assert small().enhance(mix, pictures).shape == mix.shape
    assert small().enhance(mix, None).shape == mix.shape


def test_an_official_checkpoint_loads_under_lightnings_and_ddps_names(tmp_path):
    torch.manual_seed(0)
    source = Avsec4Baseline(Avsec4Config(audio_channels=2))
    tensors = {f"module.{name}": value for name, value in source.state_dict().items() if name != "filter_frequencies_hz"}
    torch.save({"state_dict": tensors, "epoch": 3, "hyper_parameters": {"lr": 1e-4, "loss": None}}, tmp_path / "pretrained.ckpt")
    loaded = from_official_checkpoint(tmp_path / "pretrained.ckpt")
    assert loaded.config.audio_channels == 2
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in source.state_dict().items())


def test_what_cannot_be_loaded_safely_is_refused(tmp_path):
    path = tmp_path / "pretrained.ckpt"
    with pytest.raises(CheckpointError, match="no such file"):
        from_official_checkpoint(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="git-lfs"):
        from_official_checkpoint(path)
    torch.save({"state_dict": {}, "callback": Avsec4Config}, path)  # a class: would need code to be run
    with pytest.raises(CheckpointError, match="read safely"):
        from_official_checkpoint(path)
    torch.save({"state_dict": {"other.weight": torch.zeros(3)}}, path)
    with pytest.raises(CheckpointError, match="is this an AVSEC-4 baseline"):
        from_official_checkpoint(path)


def test_bands_are_laid_over_the_learned_filters_and_stay_there(tmp_path):
    enhancer = small(filters=64)
    time = torch.arange(40) / 16000
    frequencies = torch.linspace(600, 7400, 64)
    with torch.no_grad():
        tones = torch.sin(2 * torch.pi * frequencies[:, None] * time) * torch.hann_window(40)
        enhancer.model.encoder.conv1d_U.weight.copy_(tones[:, None])
    enhancer.measure_filters()
    assert (enhancer.bin_frequencies_hz - frequencies).abs().max() < 60
    explore = Explorer.of(enhancer, ExplorationConfig(bands=6))
    logits = enhancer.mask_logits(*clip())
    mean = explore.mean(logits)
    assert mean.shape[:2] == (1, 6)
    action = explore.sample(mean, [5])
    assert torch.allclose(explore.mean(explore.apply(logits, mean, action)), action, atol=1e-3)

    measured = enhancer.bin_frequencies_hz.clone()
    with torch.no_grad():
        enhancer.model.encoder.conv1d_U.weight.normal_()
    save_enhancer(enhancer, tmp_path)
    assert torch.equal(load_enhancer(tmp_path).bin_frequencies_hz, measured)


def test_batch_norms_stay_frozen_unless_asked():
    mix, frames = clip(batch=2)
    frozen = small().train()
    before = frozen.mask_logits(mix, frames)
    assert torch.equal(before, frozen.eval().mask_logits(mix, frames))
    assert not torch.equal(before, small(batch_norm="trained").train().mask_logits(mix, frames))
