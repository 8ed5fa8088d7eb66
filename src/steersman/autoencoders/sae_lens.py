"""SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

The weights are `W_enc` `(d_in, d_sae)`, `W_dec` `(d_sae, d_in)`, `b_dec`, and by architecture
`b_enc`, `threshold`, or `b_gate`, `b_mag`, `r_mag`. Where they were trained is `hook_name`, in the
configuration or in its `metadata`: `blocks.t.hook_resid_pre` is the state `x_t`,
`blocks.t.hook_resid_post` is `x_{t+1}`.

Source:
    jbloomAus/SAELens (decoderesearch/SAELens): `sae_lens/saes/`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from steersman.autoencoders.autoencoder import SparseAutoencoder
from steersman.autoencoders.encoder import NEEDED
from steersman.errors import ArtifactError, InputError
from steersman.files import write_whole

CONFIGURATION, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")
_SAID = ("model_name", "hook_name", "neuronpedia_id", "sae_lens_version", "dtype")


def read_sae(folder: str | Path) -> SparseAutoencoder:
    """A sparse autoencoder, for reading features and their directions; it is not trained further.

    Args:
        folder: with `cfg.json` and `sae_weights.safetensors`.

    Returns:
        The autoencoder, in float32.

    Raises:
        ArtifactError: a file is missing or cannot be read.
        InputError: an architecture that is not known, or states that were scaled beforehand, so
            that what it would be given here is not what it was trained on.
        ShapeError: weights that do not belong together.
    """
    folder = Path(folder)
    config, weights = _configuration(folder / CONFIGURATION), _weights(folder / WEIGHTS)
    _require_plain(config)
    architecture = _architecture(config)
    lacking = [name for name in ("W_enc", "W_dec", "b_dec") if name not in weights]
    if lacking:
        raise ArtifactError(f"{WEIGHTS} in {folder.name} lacks {', '.join(lacking)}.")
    said = {name: str(v) for name in _SAID if (v := _value(config, name)) is not None}
    return SparseAutoencoder(
        architecture,  # type: ignore[arg-type]
        weights["W_enc"],
        weights["W_dec"],
        weights["b_dec"],
        {name: weights[name] for name in NEEDED.get(architecture, ()) if name in weights},
        k=_count(config) if architecture == "topk" else None,
        centred=bool(config.get("apply_b_dec_to_input", True)),
        state=_state(str(_value(config, "hook_name") or "")),
        said=said,
    )


def write_sae(sae: SparseAutoencoder, folder: str | Path) -> Path:
    """Write an autoencoder as SAELens does, so that it and `read_sae` read it back as it is.

    Args:
        sae: the autoencoder.
        folder: where to; it is made where it does not exist.

    Returns:
        The folder.

    Raises:
        InputError: it cannot be written there.
    """
    folder = Path(folder)
    tensors = {"W_enc": sae.W_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec, **sae.others}
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(save(kept), folder / WEIGHTS)
    write_whole(json.dumps(_settings(sae), indent=2) + "\n", folder / CONFIGURATION)
    return folder


def _settings(sae: SparseAutoencoder) -> dict[str, Any]:
    said = dict(sae.said or {})
    if sae.state is not None:
        # The state that enters block 0 leaves none.
        before = sae.state == 0
        place = "pre" if before else "post"
        said["hook_name"] = f"blocks.{0 if before else sae.state - 1}.hook_resid_{place}"
    return {
        "architecture": sae.architecture,
        "d_in": sae.n,
        "d_sae": sae.features,
        "dtype": str(sae.W_enc.dtype).removeprefix("torch."),
        "apply_b_dec_to_input": sae.centred,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **({} if sae.k is None else {"k": sae.k, "rescale_acts_by_decoder_norm": False}),
        "metadata": said,
    }


def _configuration(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no settings.")
    return found


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as safetensors: {error}.") from error


def _value(config: Mapping[str, Any], name: str) -> Any:
    """A setting, of today's files in `metadata`, of older ones beside the others."""
    meta = config.get("metadata")
    return meta[name] if isinstance(meta, dict) and name in meta else config.get(name)


def _architecture(config: Mapping[str, Any]) -> str:
    """Its name; older files say the activation where every architecture is `standard`."""
    named, activation = str(config.get("architecture", "standard")), config.get("activation_fn_str")
    if named == "standard" and activation not in (None, "relu", "topk"):
        raise InputError(
            f"the autoencoder has the activation {activation!r}; relu or topk is read."
        )
    return "topk" if named == "standard" and activation == "topk" else named


def _count(config: Mapping[str, Any]) -> int | None:
    kwargs = config.get("activation_fn_kwargs")
    found = config.get("k", kwargs.get("k") if isinstance(kwargs, dict) else None)
    return found if isinstance(found, int) else None


def _require_plain(config: Mapping[str, Any]) -> None:
    """Refuse what would need the states to be scaled or reshaped first.

    Raises:
        InputError: says what is set.
    """
    plain: dict[str, tuple[Any, ...]] = {
        "normalize_activations": ("none", None),
        "reshape_activations": ("none", None),
        "rescale_acts_by_decoder_norm": (False, None),
        "finetuning_scaling_factor": (False, None),
    }
    for name, allowed in plain.items():
        if config.get(name) not in allowed:
            raise InputError(
                f"the autoencoder has {name} = {config[name]!r}, which is not read here: fold it "
                "into the weights with SAELens and save it again."
            )


def _state(hook: str) -> int | None:
    found = _HOOK.fullmatch(hook)
    return int(found[1]) + (found[2] == "post") if found else None
