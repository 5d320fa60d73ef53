"""Two repairs of what the documentation shows of the source, which it reads and does not run.

An Equinox module or a named tuple that writes no `__init__` gets the one that is generated from its fields. And the
shapes of array annotations stay strings: `Float[Array, "num *event"]` is otherwise read as a product.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import griffe

MODULE_PACKAGES = ("equinox", "diffrax", "optimistix", "lineax")
# Fields that a subclass has to supply, and those of the class itself, are no parameters.
NOT_PARAMETERS = ("AbstractVar", "AbstractClassVar", "ClassVar")


class Repairs(griffe.Extension):
    """Adds generated constructors and quotes shapes, once the package is read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        for member in _members(pkg):
            if isinstance(member, griffe.Class) and _has_generated_constructor(member):
                member.set_member("__init__", _constructor(member))
        for member in _members(pkg):
            for annotation in _annotations(member):
                _quote_shapes(annotation)


def _members(scope: griffe.Object) -> Iterator[griffe.Object]:
    for member in list(scope.members.values()):
        if isinstance(member, griffe.Object):
            yield member
            yield from _members(member)


def _has_generated_constructor(class_: griffe.Class) -> bool:
    if class_.name.startswith("Abstract") or "__init__" in class_.all_members:
        return False
    bases = (base for ancestor in _lineage(class_) for base in ancestor.bases)
    return any(_is_record(base.canonical_path) for base in bases if isinstance(base, griffe.Expr))


def _is_record(base: str) -> bool:
    return base == "typing.NamedTuple" or base.partition(".")[0] in MODULE_PACKAGES


def _lineage(class_: griffe.Class) -> list[griffe.Class]:
    return [class_, *class_.mro()]


def _constructor(class_: griffe.Class) -> griffe.Function:
    fields: dict[str, griffe.Parameter] = {}
    for ancestor in reversed(_lineage(class_)):
        fields.update({field.name: field for field in _fields(ancestor)})
    positional = [field for field in fields.values() if field.kind is not griffe.ParameterKind.keyword_only]
    keyword = [field for field in fields.values() if field.kind is griffe.ParameterKind.keyword_only]
    self = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    parameters = griffe.Parameters(self, *positional, *keyword)
    return griffe.Function("__init__", parameters=parameters, returns="None", lineno=0, endlineno=0, parent=class_)


def _fields(class_: griffe.Class) -> Iterator[griffe.Parameter]:
    for member in class_.members.values():
        if isinstance(member, griffe.Attribute) and member.annotation is not None and "property" not in member.labels:
            options = _options(member.value)
            given = options is None or options.get("init") != "False"
            if given and not _is_excluded(member):
                yield _parameter(member, options)


def _is_excluded(field: griffe.Attribute) -> bool:
    # Griffe unwraps ClassVar[...] and leaves only its label.
    if "class-attribute" in field.labels and "instance-attribute" not in field.labels:
        return True
    path = field.annotation.canonical_path if isinstance(field.annotation, griffe.Expr) else str(field.annotation)
    return path.rpartition(".")[2] in NOT_PARAMETERS


def _options(value: str | griffe.Expr | None) -> dict[str, str] | None:
    """The keywords of `eqx.field(...)` or `dataclasses.field(...)`; None for any other value."""
    if not isinstance(value, griffe.ExprCall) or value.canonical_path not in ("equinox.field", "dataclasses.field"):
        return None
    return {word.name: str(word.value) for word in value.arguments if isinstance(word, griffe.ExprKeyword)}


def _parameter(field: griffe.Attribute, options: dict[str, str] | None) -> griffe.Parameter:
    keyword_only = options is not None and options.get("kw_only") == "True"
    kind = griffe.ParameterKind.keyword_only if keyword_only else griffe.ParameterKind.positional_or_keyword
    default = field.value if options is None else _default(options)
    return griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=default)


def _default(options: dict[str, str]) -> str | None:
    factory = options.get("default_factory")
    return options.get("default") if factory is None else f"{factory}()"


def _annotations(member: griffe.Object) -> Iterator[str | griffe.Expr | None]:
    if isinstance(member, griffe.Function):
        yield from (parameter.annotation for parameter in member.parameters)
        yield member.returns
    if isinstance(member, griffe.Attribute):
        yield member.annotation
        yield member.value


def _quote_shapes(value: object) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _quote_shapes(item)
    if isinstance(value, griffe.Expr):
        if isinstance(value, griffe.ExprSubscript) and value.canonical_path.startswith("jaxtyping."):
            _quote_shape(value.slice)
        for field in dataclasses.fields(value):
            if field.name != "parent":
                _quote_shapes(getattr(value, field.name))


def _quote_shape(arguments: str | griffe.Expr) -> None:
    """Makes the second of `Array, num * event` the string that stands in the source."""
    if isinstance(arguments, griffe.ExprTuple) and len(arguments.elements) == 2:
        array, shape = arguments.elements
        text = str(shape).strip("'\"").replace(" * ", " *")
        arguments.elements = [array, f'"{text}"']
