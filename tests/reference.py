"""The README's job file reference, written from JobSpec's schema: `python -m tests.reference` puts it in place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from batch.spec import JobSpec

README = Path(__file__).parents[1] / "README.md"
PLACE = re.compile(r"(<!-- job reference[^\n]*-->\n).*?(<!-- /job reference -->)", re.DOTALL)


def reference() -> str:
    """One table row a setting."""
    schema = JobSpec.model_json_schema()
    lines = ["| setting | what | default |", "|---|---|---|"]
    for name, setting in schema["properties"].items():
        needed = name in schema.get("required", ())
        lines.append(f"| `{name}` | {described(setting)} | {'needed' if needed else default(setting)} |")
    return "\n".join(lines) + "\n"


def described(setting: dict[str, Any]) -> str:
    choices = next((kind["enum"] for kind in [setting, *setting.get("anyOf", [])] if "enum" in kind), [])
    listed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    examples = setting.get("examples", [])
    shown = f" Such as {', '.join(f'`{example}`' for example in examples)}." if examples else ""
    return (setting["description"] + listed + shown).replace("|", "\\|")


def default(setting: dict[str, Any]) -> str:
    value = setting.get("default")
    return "" if value is None or value == {} else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def with_reference(text: str) -> str:
    return PLACE.sub(lambda place: place[1] + "\n" + reference() + "\n" + place[2], text)


if __name__ == "__main__":
    README.write_text(with_reference(README.read_text(encoding="utf-8")), encoding="utf-8")
