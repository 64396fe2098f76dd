import pickle

import pytest

from deme import errors
from deme.errors import (
    ConfigError,
    DemeError,
    MissingExtraError,
    RunLockedError,
    StorageError,
    nearest,
)

FAMILY = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DemeError)
]


def test_a_message_is_what_choices_and_fix() -> None:
    error = DemeError("Unknown sampler 'dim'", choices=["ddim", "ddpm"], given="dim", fix="do it.")
    assert str(error) == (
        "Unknown sampler 'dim'. Did you mean 'ddim'? Choices: ddim, ddpm. Fix: do it."
    )


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("It is wrong", "It is wrong."),
        ("It is wrong.", "It is wrong."),
        ("Is it wrong?", "Is it wrong?"),
        ("It is wrong \n", "It is wrong."),
    ],
)
def test_a_sentence_ends_once(what: str, message: str) -> None:
    assert str(DemeError(what)) == message


def test_a_list_keeps_its_lines_to_itself() -> None:
    error = DemeError("Two differ:\n  a\n  b\n", choices=[], fix="mend them")
    assert str(error) == "Two differ:\n  a\n  b.\nChoices: none.\nFix: mend them."


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert str(DemeError("Unknown", choices=[1, 2], given="zebra")) == "Unknown. Choices: 1, 2."
    assert nearest("zebra", ["ddim", "ddpm"]) is None
    assert nearest("x", []) is None


def test_letter_case_does_not_hide_the_nearest() -> None:
    assert nearest("DDIM", ["ddim", "ddpm"]) == "ddim"
    assert nearest("unet2dmodel", ["UNet2DModel"]) == "UNet2DModel"


def test_wrong_usage_has_an_exit_code_of_its_own() -> None:
    assert {kind.__name__: kind.exit_code for kind in FAMILY if kind.exit_code != 1} == {
        "ConfigError": 2
    }
    assert issubclass(RunLockedError, StorageError) and ConfigError("x").exit_code == 2


def test_a_missing_extra_names_the_command() -> None:
    assert str(MissingExtraError("Tracking", "wandb", "track")) == (
        "Tracking needs the package 'wandb', which is not installed. "
        "Fix: pip install 'deme[track]'."
    )


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_way_from_another_process(kind: type[DemeError]) -> None:
    error = (
        MissingExtraError("Tracking", "wandb", "track")
        if kind is MissingExtraError
        else kind("It is so:\n  a", choices=["b"], fix="c")
    )
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind and str(back) == str(error) and back.exit_code == kind.exit_code
