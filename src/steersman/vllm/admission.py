"""The front end: what a request asks is checked, resolved, and kept apart in the prefix cache."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from steersman.directions import listed
from steersman.engines import tokens_named
from steersman.errors import InputError, SteersmanError, UnknownNameError
from steersman.vllm.asking import (
    MOST,
    RECORD_KEY,
    REQUEST_KEY,
    Asked,
    AskedLaw,
    law_of,
    read_ask,
)
from steersman.vllm.op import most_of
from steersman.vllm.reports import Told, Watching
from steersman.vllm.served import Served, config_of
from steersman.vllm.settings import Settings
from steersman.vllm.waiting import asked_of

_REMEMBERED = 1024
_LONGEST = 128


class Admission:
    """The steerings of one engine, as its front end knows them.

    Args:
        model: what vLLM knows of the model, as `config_of` reads it.
        settings: which steerings it starts with.
        most: the largest push along one coordinate that its precision bears.
    """

    def __init__(self, model: Mapping[str, Any], settings: Settings, most: float = MOST) -> None:
        """Load what can be served; why another cannot is told to whoever asks for it."""
        self._model = dict(model)
        self._most = most
        self._served: dict[str, Served] = {}
        self._refused: dict[str, str] = {}
        self._known: dict[str, AskedLaw] = {}
        self._watching: OrderedDict[str, Watching] = OrderedDict()
        for name, folder in settings.steerings.items():
            try:
                self.put(Served.of_folder(name, folder))
            except SteersmanError as error:
                self._refused[name] = str(error)

    @classmethod
    def of(cls, processor: Any) -> "Admission | None":
        """That of an input processor of vLLM; None where its engine has no steerings."""
        if not hasattr(processor, "steersman"):
            settings = Settings.of(processor.vllm_config)
            config = processor.vllm_config.model_config
            made = None
            if settings is not None:
                made = cls(config_of(config), settings, most_of(config.dtype))
            # Requests come on several threads: all of them get what the first one made.
            vars(processor).setdefault("steersman", made)
        found: Admission | None = processor.steersman
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the steerings that requests may name."""
        return tuple(self._served)

    def get(self, name: str) -> Served:
        """A steering by its name.

        Raises:
            UnknownNameError: there is none.
            InputError: there is one that cannot be served; says why.
        """
        if name in self._refused:
            raise InputError(self._refused[name])
        if name not in self._served:
            raise UnknownNameError(
                f"there is no steering {name!r}; this engine has {listed(self.names) or 'none'}."
            )
        return self._served[name]

    def require_keys(self, asked: Asked) -> None:
        """Refuse what was resolved with a steering that was removed or exchanged since.

        Raises:
            InputError: it was.
        """
        gone = {law.key for law in asked.laws} - self.keys
        if gone:
            raise InputError("a steering that the request names was removed while it came.")

    @property
    def keys(self) -> set[str]:
        """Of the laws that requests may ask for."""
        return {key for one in self._served.values() for key in one.keyed}

    def require(self, served: Served) -> None:
        """Refuse a steering of another model.

        Raises:
            MismatchError: it was made for one; names what differs.
        """
        served.require_config(**self._model)

    def put(self, served: Served) -> None:
        """Let requests name a steering; raises as `require` does."""
        self.require(served)
        self._served[served.name] = served
        self._refused.pop(served.name, None)

    def drop(self, name: str) -> list[str]:
        """Let no request name it any more.

        Returns:
            The keys of the laws that no other name has.

        Raises:
            UnknownNameError: there is none.
        """
        served = self.get(name)
        del self._served[name]
        return [key for key in served.keyed if key not in self.keys]

    def watching(self, record: str) -> Watching:
        """The steerings of a request that wants to be told of.

        Args:
            record: what it called its record.

        Raises:
            UnknownNameError: there was none, or many came since.
        """
        if record not in self._watching:
            raise UnknownNameError(
                f"there is no record {record!r}: give a request "
                f'extra_args={{"{REQUEST_KEY}": ..., "{RECORD_KEY}": {record!r}}}, and ask soon.'
            )
        return self._watching[record]

    def resolve(self, given: object, prompt: int, tokenizer: Any, record: object = "") -> Asked:
        """What a request asks, as the workers take it.

        Args:
            given: what it says.
            prompt: tokens of its prompt.
            tokenizer: the engine's; None where it has none.
            record: what it calls the record of its features; empty where it wants none.

        Raises:
            UnknownNameError: it names a steering that there is not.
            InputError: a strength or a choice that cannot be used.
        """
        asks = read_ask(given)
        laws = {name: self._law(name, options, tokenizer) for name, options in asks.items()}
        if len({law.key for law in laws.values()}) < len(laws):
            raise InputError(
                f"of {listed(tuple(laws))} two are one and the same law, which acts once on a "
                "request: name it once, with all of its strength."
            )
        if not isinstance(record, str) or len(record) > _LONGEST:
            raise InputError(f"{RECORD_KEY} takes a name of at most {_LONGEST} letters.")
        if record:
            self._watch(record, asks, laws)
        return Asked(prompt, tuple(laws.values()), record)

    def _watch(
        self, record: str, asks: Mapping[str, Mapping[str, Any]], laws: Mapping[str, AskedLaw]
    ) -> None:
        each = (Told.of(self.get(name), laws[name], asks[name]) for name in asks)
        self._watching[record] = Watching(tuple(each))
        self._watching.move_to_end(record)
        while len(self._watching) > _REMEMBERED:
            self._watching.popitem(last=False)

    def _law(self, name: str, options: Mapping[str, Any], tokenizer: Any) -> AskedLaw:
        served = self.get(name)
        key = f"{served.fingerprint}{json.dumps(options, sort_keys=True, default=str)}"
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = law_of(served, options, tokenizer, self._most)
        return self._known[key]


def salt_of(asked: Asked, given: str | None) -> str:
    """What keeps the keys and values of a steered request apart from all others.

    Two requests share them where the same laws act with the same setpoints at the same places: a
    rule that asks where the prompt ends chooses other places behind a prompt of another length. One
    that is to be told of shares them with none, as nothing is observed of what comes from a cache.

    Args:
        asked: what acts on it.
        given: the request's own salt.
    """
    of_prompt = any(tokens_named(law.rule).of_prompt for law in asked.laws)
    laws = [list(law) for law in asked.laws]
    told = [given, asked.prompt if of_prompt else None, laws, asked.record and uuid4().hex]
    return "steersman-" + hashlib.sha256(json.dumps(told).encode()).hexdigest()


def admit(processor: Any, request: Any) -> Any:
    """A request of vLLM with its steering resolved; one that asks for none is returned as it is.

    Args:
        processor: vLLM's input processor.
        request: the `EngineCoreRequest` that it made.

    Raises:
        InputError: what it asks cannot be done; the request alone fails.
        UnknownNameError: it names a steering that there is not.
    """
    params = request.sampling_params
    extra = getattr(params, "extra_args", None) or {}
    if REQUEST_KEY not in extra:
        if RECORD_KEY in extra:
            raise InputError(f"{RECORD_KEY} is for steered requests: give {REQUEST_KEY} too.")
        return request
    admission = Admission.of(processor)
    if admission is None:
        raise InputError(
            "this engine was started without steerings: set additional_config or STEERSMAN_VLLM."
        )
    if request.prompt_token_ids is None or request.resumable:
        raise InputError("steering needs a prompt of tokens that is known when the request comes.")
    prompt = len(request.prompt_token_ids)
    record = extra.get(RECORD_KEY, "")
    asked = admission.resolve(extra[REQUEST_KEY], prompt, processor.tokenizer, record)
    params.extra_args = {**extra, REQUEST_KEY: asked.to_plain()}
    request.cache_salt = salt_of(asked, request.cache_salt)
    return request


def still_there(processor: Any, request: Any) -> None:
    """Refuse a resolved request whose steering was removed before the engine heard of it.

    Args:
        processor: vLLM's input processor.
        request: what `admit` gave.

    Raises:
        InputError: the request alone fails.
    """
    asked = asked_of(request)
    admission = None if asked is None else Admission.of(processor)
    if asked is not None and admission is not None:
        admission.require_keys(asked)
