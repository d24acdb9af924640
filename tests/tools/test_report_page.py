"""The page in a real browser. Its policy forbids `eval`, so tests look at elements only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ir
from benchmarks.browser import browser, why_not
from layercc.tools.report.page import write_page
from tests.tools.report_samples import (
    BAD,
    CLASSIFIER,
    HOSTILE,
    LOOP,
    sample_profile,
    with_caches,
    without_paths,
)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in (("bad", BAD), ("hostile", HOSTILE), ("loop", LOOP)):
        write_page(folder / f"{name}.html", ir.parse_graph(text), missing="<b>no</b> runs here")
    graph = ir.parse_graph(CLASSIFIER.replace("N, 3", "2, 3").replace("N, 10", "2, 10"))
    write_page(folder / "good.html", graph, sample_profile(graph))
    write_page(folder / "sequential.html", without_paths())
    write_page(folder / "caches.html", with_caches(20))
    return folder


@contextmanager
def opened(chromium: Any, file: Path, **options: Any) -> Iterator[Any]:
    """The page, drawn. It may say nothing on the console, and ask for nothing but itself."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, **options)
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    context.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached")
    yield tab
    tab.wait_for_timeout(50)
    assert not said
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == {file.as_uri()}
    context.close()


def titles(tab: Any, where: str = "#pane-before") -> list[str]:
    """What the cards of a graph are titled."""
    found: list[str] = tab.locator(f"{where} g.card text.title").all_text_contents()
    return found


def card(tab: Any, text: str, where: str = "#pane-before") -> Any:
    return tab.locator(f"{where} g.item", has_text=text).first


def settled(tab: Any, selector: str, state: str = "attached") -> None:
    tab.wait_for_selector(selector, state=state)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens(chromium: Any, pages: Path, scheme: str) -> None:
    with opened(chromium, pages / "good.html", color_scheme=scheme) as tab:
        assert tab.locator("h1").text_content() == "classifier"
        assert tab.title() == "classifier – layercc"
        assert {"Conv", "MaxPool"} <= set(titles(tab))
        ground = tab.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        assert ("246" in ground) == (scheme == "light")
        tab.click("#theme")
        ground = tab.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        assert ("246" in ground) == (scheme == "dark")


def test_modules_open_and_close(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#close-all")
        settled(tab, "#pane-before rect.box", "detached")
        assert {"stem", "block", "head"} <= set(titles(tab))
        card(tab, "stem").click()
        settled(tab, "#pane-before rect.box")
        assert {"Conv", "BatchNormalization", "Relu"} <= set(titles(tab))
        assert tab.locator("#panel").get_by_text("Module").count()
        tab.locator("#pane-before g.head").first.click()
        settled(tab, "#pane-before rect.box", "detached")
        assert "BatchNormalization" not in titles(tab)
        card(tab, "block").press("Enter")
        settled(tab, "#pane-before rect.box")


def test_a_click_shows_a_node(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#open-all")
        card(tab, "MaxPool").click()
        panel = tab.locator("#panel")
        for text in ("/pool/MaxPool", "kernel_shape", "[2, 2]", "f32[2, 16, 32, 32]", "b.sum"):
            assert panel.get_by_text(text, exact=True).count(), text
        assert card(tab, "MaxPool").get_attribute("class").count("selected")
        tab.locator("#panel .link", has_text="/block/Add").first.click()
        assert panel.locator("h2").text_content() == "Add"


def test_search_finds_nodes_and_tensors(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#close-all")
        settled(tab, "#pane-before rect.box", "detached")
        tab.keyboard.press("/")
        tab.keyboard.type("fc/mat")
        assert tab.locator("#found li").all_text_contents() == ["MatMul/head/fc/MatMul"]
        tab.keyboard.press("Enter")
        settled(tab, "#pane-before g.card.selected:focus")  # in a module that was closed
        assert tab.locator("#panel .name").first.text_content() == "/head/fc/MatMul"
        tab.fill("#search", "block.conv2.w")
        tab.locator("#found li").first.click()
        tab.wait_for_selector("#panel p.name:text-is('/block/conv2/Conv')")
        tab.fill("#search", "no such thing")
        assert tab.locator("#found").text_content() == "nothing found"


def test_arrow_keys_walk_along_edges(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#open-all")
        settled(tab, "#pane-before g.card", "attached")
        first = card(tab, "MaxPool")
        first.focus()
        tab.keyboard.press("ArrowUp")
        tab.keyboard.press("Enter")
        assert tab.locator("#panel h2").text_content() == "Add"


def test_both_sides_are_linked(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("[data-sides=both]")
        settled(tab, "#pane-after g.card")
        tab.click("#open-all")
        settled(tab, "#pane-after g.item.closed", "detached")
        settled(tab, "#pane-before g.item.closed", "detached")
        card(tab, "BatchNormalization").press("Enter")
        there = tab.locator("#pane-after g.partner text.title").all_text_contents()
        assert there == ["Conv"]
        card(tab, "MatMul", "#pane-after").press("Enter")
        here = tab.locator("#pane-before g.partner text.title").all_text_contents()
        assert here == ["MatMul"]
        card(tab, "MatMul").press("Enter")
        tab.locator("#panel section", has_text="After passes").locator(".link").first.click()
        assert tab.locator("#pane-after g.selected").count() == 1


def test_a_closed_group_stands_for_what_is_in_it(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("[data-sides=both]")
        settled(tab, "#pane-after g.card")
        tab.fill("#search", "/stem/bn/BatchNormalization")
        tab.keyboard.press("Enter")
        settled(tab, "#pane-after g.partner")
        assert tab.locator("#pane-after g.partner.closed").count() == 1


def test_zoom_and_fit(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        stage = tab.locator("#pane-before svg.graph > g")
        first = stage.get_attribute("transform")
        tab.mouse.move(500, 400)
        tab.mouse.wheel(0, -300)
        tab.wait_for_timeout(100)
        zoomed = stage.get_attribute("transform")
        assert zoomed != first
        tab.mouse.down()
        tab.mouse.move(600, 480)
        tab.mouse.up()
        assert stage.get_attribute("transform") != zoomed
        tab.keyboard.press("0")
        tab.wait_for_timeout(300)
        while (now := stage.get_attribute("transform")) != zoomed:
            zoomed = now
            tab.wait_for_timeout(200)
        box = stage.bounding_box()
        frame = tab.locator("#pane-before svg.graph").bounding_box()
        assert frame["x"] <= box["x"] and box["width"] <= frame["width"]
        assert frame["y"] <= box["y"] and box["height"] <= frame["height"]


def test_the_table_sorts_and_filters(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#tab-layers")
        rows = tab.locator("#layers tbody tr")
        assert "12 rows" in tab.locator("#layers .counter").text_content()
        assert rows.first.text_content().startswith("▾stem")
        tab.click("#layers th button:text-is('Work')")
        assert rows.first.text_content().startswith("/block/conv1/Conv")
        assert tab.locator("#layers th[aria-sort=descending]").text_content() == "Work"
        tab.click("#layers th button:text-is('Work')")
        assert tab.locator("#layers th[aria-sort=ascending]").count() == 1
        tab.click("#layers th button:text-is('Work')")
        assert rows.first.text_content().startswith("▾stem")
        rows.first.locator(".twist").click()
        assert rows.first.text_content().startswith("▸stem")
        tab.fill("#layers input", "relu")
        assert rows.count() == 3
        tab.fill("#layers input", "")
        assert "Total" in tab.locator("#layers tfoot").text_content()
        tab.locator("#layers tbody .link", has_text="MaxPool").click()
        assert tab.locator("#panel h2").text_content() == "MaxPool"
        assert tab.locator("#graph").is_visible()


def test_the_profile_is_drawn(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.click("#tab-profile")
        calls = tab.locator("#profile tbody tr").count()
        assert calls > 3
        flame = tab.locator("svg.flame g.cell")
        assert flame.count() > calls
        assert tab.locator("svg.chart circle.point").count() > 3
        assert tab.locator("svg.chart .roofs .bandwidth").count() == 3
        assert tab.locator("svg.chart rect.block").count() == calls
        assert tab.locator("svg.chart rect.task").count() == 2 * calls
        wide = flame.filter(has_text="block").first
        before = wide.bounding_box()["width"]
        wide.click()
        assert flame.filter(has_text="block").first.bounding_box()["width"] > before
        tab.locator("svg.chart circle.point").first.click(force=True)
        assert tab.locator("#graph").is_visible() and tab.locator("g.selected").count() == 1
        assert tab.locator("#panel").get_by_text("Profile", exact=True).count() == 1


def test_colours_by_time(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.select_option("#colour", "time")
        heats = tab.locator("#pane-before g.card").evaluate_all(
            "cards => cards.map(card => card.style.getPropertyValue('--heat'))"
        )
        assert "88%" in heats and len(set(heats)) > 2


def test_problems_are_marked_in_place(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "bad.html") as tab:
        assert tab.locator("#tab-problems .count").text_content() == "2"
        assert tab.locator("g.card.error text.title").all_text_contents() == ["MatMul"]
        assert tab.locator("g.card.selected.error").count() == 1  # it is what one sees first
        panel = tab.locator("#panel .problem.error")
        assert "inner dims must be equal" in panel.text_content()
        assert "The model would fit with the input" in panel.locator(".help").text_content()
        tab.click("#close-all")
        settled(tab, "#pane-before rect.box", "detached")
        closed = tab.locator("g.card.error text.title").all_text_contents()
        assert closed == ["head"]
        tab.click("#tab-problems")
        assert tab.locator("#problems .problem").count() == 2
        assert "Flatten" in tab.locator("#problems .problem.error").text_content()
        tab.locator("#problems .problem.error .link").click()
        settled(tab, "g.card.selected.error")
        tab.click("#tab-layers")
        assert "/head/fc/MatMul" in tab.locator("#layers tr.error").all_text_contents()[-1]
        assert tab.locator("[data-sides=after]").is_disabled()
        tab.click("#tab-profile")
        assert "<b>no</b> runs here" in tab.locator("#profile").text_content()


def test_hostile_names_are_inert(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "hostile.html") as tab:
        name = "</script><script>document.title='owned'</script>"
        assert tab.title() == f"{name} – layercc"
        assert tab.locator("h1").text_content() == name
        for side in ("before", "after"):
            tab.click(f"[data-sides={side}]")
            tab.click("#open-all")
            for index in range(tab.locator(f"#pane-{side} g.card").count()):
                tab.locator(f"#pane-{side} g.card").nth(index).press("Enter")
        tab.click("[data-sides=both]")
        tab.fill("#search", "<")
        assert tab.locator("#found li").count() > 1
        tab.keyboard.press("Enter")
        card(tab, "Relu").hover(force=True)
        for name in ("layers", "profile", "problems"):
            tab.click(f"#tab-{name}")
        assert tab.locator("main img, main b b, main i, [onload], [onerror]").count() == 0
        assert tab.locator("body script:not([type])").count() == tab.locator("script").count() - 2
        assert tab.locator("h1").text_content().startswith("</script>")


def test_no_script_but_the_page_s_own_runs(chromium: Any, pages: Path) -> None:
    """What if a name became an element after all: the policy holds, for scripts and for images."""
    html = (pages / "good.html").read_text(encoding="utf-8")
    injected = (
        "<script>document.title='owned'</script>"
        "<img src=x onerror=\"document.title='owned'\"><img src=http://127.0.0.1:9/x>"
    )
    file = pages / "injected.html"
    file.write_text(html.replace("<main>", f"<main>{injected}", 1), encoding="utf-8")
    tab = chromium.new_page()
    asked: list[str] = []
    tab.on("requestfinished", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached")
    assert tab.title() == "classifier – layercc"
    assert not [url for url in asked if url.startswith("http") or url.endswith("/x")]
    tab.close()


def test_names_without_paths_fold(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "sequential.html") as tab:
        shown = tab.locator("#pane-before g.card")
        assert 5 < shown.count() < 40
        assert tab.locator("#pane-before g.closed").count() == shown.count()
        tab.click("#open-all")
        settled(tab, "#pane-before g.closed", "detached")
        assert shown.count() >= 120
        tab.click("#close-all")
        settled(tab, "#pane-before g.closed")


def test_a_loop_opens_to_its_body(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "loop.html") as tab:
        assert titles(tab) == ["Loop"]
        loop = tab.locator("#pane-before g.card")
        loop.press("Enter")
        assert tab.locator("#panel h2").text_content() == "Loop"
        loop.press("Enter")  # what is selected already opens
        settled(tab, "#pane-before rect.box")
        assert sorted(titles(tab)) == ["Identity", "MatMul", "Relu"]


def test_many_inputs_are_drawn_as_one(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "caches.html") as tab:
        pills = tab.locator("#pane-before g.pill")
        assert sorted(pills.all_text_contents()) == ["21 inputs", "21 outputs"]
        pills.filter(has_text="inputs").press("Enter")
        assert tab.locator("#panel .tensor").count() == 21
        tab.locator("#panel .link", has_text="Add present.7").first.click()
        settled(tab, "#pane-before g.card.selected")


def test_the_last_of_several_layouts_counts(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "sequential.html") as tab:
        closed = tab.locator("#pane-before g.card").count()
        for button in ("#open-all", "#close-all", "#open-all", "#close-all"):
            tab.locator(button).dispatch_event("click")
        tab.wait_for_timeout(300)
        settled(tab, "#pane-before .busy", "hidden")
        assert tab.locator("#pane-before g.card").count() == closed


def test_tabs_by_keyboard_and_address(chromium: Any, pages: Path) -> None:
    with opened(chromium, pages / "good.html") as tab:
        tab.focus("#tab-graph")
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#layers").is_visible()
        assert tab.url.endswith("#layers")
        tab.reload()
        tab.wait_for_selector("html[data-drawn]", state="attached")
        assert tab.locator("#layers").is_visible() and not tab.locator("#graph").is_visible()
        tab.click("#tab-graph")
        place = card(tab, "MaxPool").bounding_box()
        assert place and place["x"] > 0
