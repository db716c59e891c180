import pytest

torch = pytest.importorskip("torch")

from harness.models.resnet import resnet50  # noqa: E402


@pytest.fixture(scope="module")
def shapes():
    with torch.device("meta"):
        model = resnet50()
    return model, {k: tuple(v.shape) for k, v in model.state_dict().items()}


def expected():
    """torchvision's resnet50 state dict, from its structure."""
    found = {}

    def conv(name, out, inputs, size):
        found[f"{name}.weight"] = (out, inputs, size, size)

    def norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)
        found[f"{name}.num_batches_tracked"] = ()

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for i, (out, fan, size) in enumerate(
                [(width, inputs, 1), (width, width, 3), (4 * width, width, 1)], 1
            ):
                conv(f"{name}.conv{i}", out, fan, size)
                norm(f"{name}.bn{i}", out)
            if block == 0:
                conv(f"{name}.downsample.0", 4 * width, inputs, 1)
                norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    found["fc.weight"], found["fc.bias"] = (1000, 2048), (1000,)
    return found


def test_state_dict_has_torchvisions_keys_and_shapes(shapes):
    assert shapes[1] == expected()


def test_parameters_and_strides_are_resnet50_v1_5(shapes):
    model, _ = shapes
    assert sum(p.numel() for p in model.parameters()) == 25_557_032
    block = model.get_submodule("layer2.0")
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert model(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_random_images_get_different_classes_with_sane_activations():
    torch.manual_seed(0)
    model = resnet50(num_classes=100).eval()
    with torch.inference_mode():
        logits = model(torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert torch.isfinite(logits).all()
    assert logits.abs().max() < 100
    assert len(set(logits.argmax(1).tolist())) >= 4
