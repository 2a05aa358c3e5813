from pathlib import Path

import pytest

from tasks import functions
from tasks.errors import SpecError
from tasks.settings import ROOT
from tests.tasks.shop import FUNCTIONS, Shop


def test_functions_stand_in_a_file_beside_the_spec_or_in_a_module(shop: Shop) -> None:
    beside = functions.load_functions(shop.spec())
    assert beside.files == (shop.folder / "shop.py",)
    assert beside.target is not None
    dotted = functions.load_functions(
        shop.spec(features="tasks.features.iris", sources={"iris": "x"}, target="y")
    )
    assert dotted.files == (ROOT / "tasks" / "features" / "iris.py",)
    assert dotted.target is None


@pytest.mark.parametrize(
    ("features", "text", "message"),
    [
        ("gone.py", FUNCTIONS, "there is no file .*gone.py"),
        ("tasks.features.gone", FUNCTIONS, "there is no module tasks.features.gone"),
        ("nopackage.gone", FUNCTIONS, "nopackage"),
        ("shop.py", "import gone_package", "fails to import .*gone_package"),
        ("shop.py", "x = 1", "shop.py has no function prepare"),
        (
            "shop.py",
            FUNCTIONS.split("def target")[0],
            r"no function target. Write target\(\*\*frames\) \(or name",
        ),
        ("shop.py", "def prepare(order): return order", "takes 'order', which is no source .* orders, shops"),
    ],
)
def test_functions_that_are_not_there(shop: Shop, features: str, text: str, message: str) -> None:
    shop.functions(text)
    with pytest.raises(SpecError, match=f"(?s){message}"):
        functions.load_functions(shop.spec(features=features))


def test_an_edited_file_is_loaded_afresh(shop: Shop) -> None:
    spec = shop.spec(target="paid")
    shop.functions("def prepare(orders): return 1")
    assert functions.load_functions(spec).prepare(None) == 1
    shop.functions("def prepare(orders): return 2")
    assert functions.load_functions(spec).prepare(None) == 2


def test_a_function_gets_the_sources_it_names(shop: Shop) -> None:
    spec = shop.spec()
    assert functions.needed_sources(spec, lambda orders: orders) == ("orders",)
    assert functions.needed_sources(spec, lambda **frames: frames) == ("orders", "shops")
    assert functions.needed_sources(spec, lambda shops, factor=2: shops) == ("shops",)


def test_the_code_hash_follows_the_functions_the_tasks_and_the_served_package(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    served = root / "images" / "model-server" / "slipway_model_server"
    for folder in (root / "tasks" / "features", served):
        folder.mkdir(parents=True)
    monkeypatch.setattr(functions, "ROOT", root)
    spec = shop.spec()
    seen = [functions.code_hash(spec)]
    assert functions.code_hash(spec) == seen[0]
    shop.functions(FUNCTIONS + "\n# changed")
    for change in (shop.folder / "shop.py", root / "tasks" / "features" / "a.py", served / "b.py"):
        if change.parent != shop.folder:
            change.write_text("x = 1")
        seen.append(functions.code_hash(spec))
    assert len(set(seen)) == 4
    (root / "README.md").write_text("no code")
    assert functions.code_hash(spec) == seen[-1]
