"""What the models of deployment.yaml are made of: names and texts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from exporter.yaml_source import rule_in_words

_IDENTIFIER = r"^[a-z][a-z0-9_]*$"

Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]

Identifier = Annotated[
    str,
    StringConstraints(pattern=_IDENTIFIER),
    rule_in_words(_IDENTIFIER, "must be in lower case, digits and _, beginning with a letter"),
]


class Model(BaseModel):
    """Frozen, and without room for a key that nobody knows."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
