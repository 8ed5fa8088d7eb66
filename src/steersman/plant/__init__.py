"""Transformers models as plants: their blocks, states, tokens and Jacobians. Knows no control."""

from steersman.plant.architectures import ARCHITECTURES, Layout
from steersman.plant.average import Averaged, SharedAverage, average
from steersman.plant.blocks import Blocks, locate, model_type, unwrap
from steersman.plant.capture import (
    TokenStates,
    capture_batch,
    capture_sequence,
    capture_states,
    capture_tokens,
    capture_with_sites,
)
from steersman.plant.chat import Example, Message, Rendered, render
from steersman.plant.estimate import Estimate, estimate
from steersman.plant.fingerprint import fingerprint
from steersman.plant.forward import accepts, input_device, require_evaluation
from steersman.plant.frozen_run import CHUNK
from steersman.plant.hooks import (
    HookSet,
    hidden_in,
    hidden_out,
    hooked,
    owners,
    with_hidden,
    with_hidden_in,
)
from steersman.plant.identify import Identified, identify
from steersman.plant.info import Info, describe
from steersman.plant.jacobian import each_jacobian, jacobians
from steersman.plant.linearize import Linearization, linearize
from steersman.plant.positions import (
    AfterMarker,
    AllTokens,
    FirstResponseToken,
    LastToken,
    Positions,
    Regex,
    ResponseTokens,
    positions_named,
)
from steersman.plant.processes import Processes, ProcessGroup
from steersman.plant.sites import Site, Sites, at_tokens, find_sites, site_named
from steersman.plant.state_cache import StateCache
from steersman.plant.tokens import (
    Encoded,
    Tokens,
    encode,
    only_id,
    ordinary_ids,
    pad,
    pad_id,
    special_ids,
    tokenize,
)

__all__ = [
    "ARCHITECTURES",
    "CHUNK",
    "AfterMarker",
    "Averaged",
    "AllTokens",
    "Blocks",
    "Encoded",
    "Estimate",
    "Example",
    "FirstResponseToken",
    "HookSet",
    "Identified",
    "Info",
    "LastToken",
    "Layout",
    "Linearization",
    "Message",
    "Positions",
    "ProcessGroup",
    "Processes",
    "Regex",
    "Rendered",
    "ResponseTokens",
    "SharedAverage",
    "Site",
    "Sites",
    "StateCache",
    "TokenStates",
    "Tokens",
    "accepts",
    "at_tokens",
    "average",
    "capture_batch",
    "capture_sequence",
    "capture_states",
    "capture_tokens",
    "capture_with_sites",
    "describe",
    "each_jacobian",
    "encode",
    "estimate",
    "find_sites",
    "fingerprint",
    "hidden_in",
    "hidden_out",
    "hooked",
    "identify",
    "input_device",
    "jacobians",
    "linearize",
    "locate",
    "model_type",
    "only_id",
    "ordinary_ids",
    "owners",
    "pad",
    "pad_id",
    "positions_named",
    "render",
    "require_evaluation",
    "site_named",
    "special_ids",
    "tokenize",
    "unwrap",
    "with_hidden",
    "with_hidden_in",
]
