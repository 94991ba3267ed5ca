"""Reading a bug from its file of scenarios, without importing it.

The module docstring has a fixed shape: a title, a blank line, and fields, each on lines
of its own that go on indented::

    A pod that gets a dead pod's port gets its packets, too.

    Reference: BZ1518684, openshift/origin#18166
    Family: stale flows
    Symptom: Pods are reached at addresses that are not theirs.
    Mechanism: Without its sandbox a pod was not found in OVSDB, and its flows of tables
        20, 40 and 70 stayed when it was torn down.
    Fixed in: Before 3.11 was released.
    Diagnosis: Flows for an address that no pod has.

All but the last must be there. The file's ``pytestmark`` says the plugins, and each
test is marked ``symptom`` or ``fix``.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from testbed.errors import GalleryError
from testbed.gallery.model import Bug, Family, Half, Showing, is_reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REQUIRED = ("Reference", "Family", "Symptom", "Mechanism", "Fixed in")
_OPTIONAL = ("Diagnosis",)
_KNOWN = (*_REQUIRED, *_OPTIONAL)


def read_bug(file: Path) -> Bug:
    """The bug that a file of scenarios shows.

    Raises:
        GalleryError: the file is not as it should be; each problem with its line.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise GalleryError([f"{file}: cannot be read: {error}"]) from error
    problems: list[str] = []
    title, fields = _story(file, tree, problems)
    showings = tuple(_showings(file, tree, problems))
    plugins = _plugins(tree)
    if not plugins:
        problems.append(f"{file}: pytestmark: must be pytest.mark.plugins(…)")
    problems += [
        f"{file}: has no test that is marked {half}"
        for half in Half
        if not any(item.half is half for item in showings)
    ]
    if problems:
        raise GalleryError(problems)
    return Bug(
        references=tuple(_listed(fields["Reference"])),
        title=title,
        family=Family(fields["Family"]),
        symptom=fields["Symptom"],
        mechanism=fields["Mechanism"],
        fixed_in=fields["Fixed in"],
        diagnosis=fields.get("Diagnosis", ""),
        plugins=plugins,
        showings=showings,
        file=file,
    )


def _story(
    file: Path, tree: ast.Module, problems: list[str]
) -> tuple[str, dict[str, str]]:
    """The title and the fields of a module docstring."""
    docstring = ast.get_docstring(tree)
    if not docstring:
        problems.append(f"{file}:1: must begin with a docstring that tells the bug")
        return "", {}
    title, *lines = docstring.splitlines()
    fields: dict[str, str] = {}
    places: dict[str, int] = {}
    current = ""
    for number, line in enumerate(lines, 2):
        name, colon, text = line.partition(":")
        if not line.strip():
            current = ""
        elif line[0].isspace() and current:
            fields[current] = f"{fields[current]} {line.strip()}".strip()
        elif not colon or name not in _KNOWN:
            known = ", ".join(_KNOWN)
            problems.append(f"{file}:{number}: is no field; there are: {known}")
            current = ""
        elif name in fields:
            problems.append(f"{file}:{number}: {name}: is there twice")
        else:
            current = name
            fields[name], places[name] = text.strip(), number
    problems += [
        f"{file}:{places.get(name, 1)}: {name}: is missing"
        for name in _REQUIRED
        if not fields.get(name)
    ]
    problems += _wrong(file, fields, places)
    return title.strip().removesuffix("."), fields


def _wrong(file: Path, fields: dict[str, str], places: dict[str, int]) -> Iterator[str]:
    """Yield what is wrong with fields that have a form."""
    family = fields.get("Family")
    if family and family not in set(Family):
        known = ", ".join(Family)
        yield f"{file}:{places['Family']}: Family: must be one of {known}"
    for reference in _listed(fields.get("Reference", "")):
        if not is_reference(reference):
            yield (
                f"{file}:{places['Reference']}: Reference: {reference}: must look like "
                "BZ1539187, openshift/sdn#96 or openshift/sdn@31017cb98"
            )


def _listed(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def _plugins(tree: ast.Module) -> tuple[str, ...]:
    """The arguments of ``pytestmark = pytest.mark.plugins(…)``."""
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="pytestmark")],
                value=ast.Call(func=ast.Attribute(attr="plugins"), args=arguments),
            ):
                return tuple(
                    argument.value
                    for argument in arguments
                    if isinstance(argument, ast.Constant)
                    and isinstance(argument.value, str)
                )
    return ()


def _showings(file: Path, tree: ast.Module, problems: list[str]) -> Iterator[Showing]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test"):
            halves = [half for half in Half if _is_marked(statement, half)]
            if len(halves) != 1:
                problems.append(
                    f"{file}:{statement.lineno}: {statement.name}: must be marked "
                    f"{' or '.join(Half)}"
                )
                continue
            remark, _, _ = (ast.get_docstring(statement) or "").partition("\n\n")
            yield Showing(
                name=statement.name, half=halves[0], remark=" ".join(remark.split())
            )


def _is_marked(function: ast.FunctionDef, half: Half) -> bool:
    wanted = f"pytest.mark.{half}"
    return any(
        ast.unparse(decorator).partition("(")[0] == wanted
        for decorator in function.decorator_list
    )
