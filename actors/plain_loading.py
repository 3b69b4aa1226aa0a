"""DeepSpeed's checkpoints without its trust in them: it unpickles whatever a file holds (`weights_only=False`), which can run any code.

Within `plain_loading()` every `torch.load` of this process takes tensors, plain values, and three records that DeepSpeed itself writes.
`python -m actors.plain_loading --input_folder ... --output_folder ...` is `deepspeed.checkpoint.ds_to_universal`, held to the same.
"""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from auricle.errors import CheckpointError

FORCE_VARIABLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""PyTorch's own: it wins over what a caller of torch.load says."""


@contextmanager
def plain_loading(source: object) -> Iterator[None]:
    """Raises CheckpointError naming `source` where a file holds more. Not for several threads at once."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = os.environ.get(FORCE_VARIABLE)
    os.environ[FORCE_VARIABLE] = "1"
    try:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{source}: holds more than tensors and plain values, and is not loaded: it could run code of whoever wrote it. Resume from "
            f"a checkpoint of your own ({str(error).strip().splitlines()[-1][:200]})"
        ) from error
    finally:
        os.environ.pop(FORCE_VARIABLE) if before is None else os.environ.update({FORCE_VARIABLE: before})


def _main() -> None:
    from deepspeed.checkpoint.ds_to_universal import main, parse_arguments

    arguments = parse_arguments()
    with plain_loading(arguments.input_folder):
        main(arguments)


if __name__ == "__main__":
    _main()
