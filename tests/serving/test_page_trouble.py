"""The page under trouble: odd ids, slow answers, errors, a run that is replaced, and runs that lack something."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright's Python package is not installed")

from playwright.sync_api import Browser, Page, Route, expect

from prismrec.runs import Run
from prismrec.types import Vocabulary
from serving.conftest import ITEMS, USERS, save_run
from serving.pages import File, Visit, needs_chromium
from serving.processes import Server, running

pytestmark = needs_chromium

ODD = [
    "a,b",
    "sl/ash",
    'q"uote',
    "it's",
    "100%",
    "%41",
    "sp ace",
    "\U0001f600",
    "\u05e9\u05dc\u05d5\u05dd",
    "<i>x</i>",
    "~a*b",
    "..",
]
ODD += ["back\\slash", "hash#tag", "q?m=1&n"]
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def server(run_folder: Path, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(run_folder, tmp_path_factory.mktemp("log") / "log", "--data", str(shop)) as server:
        yield server


@pytest.fixture(scope="module")
def bare(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with odd ids, without an item table, features, validation and metrics."""
    whole = Run.load(run_folder)
    items = Vocabulary([*ODD, *[f"i{number}" for number in range(ITEMS - len(ODD))]], "item")
    users = Vocabulary([*ODD, *[f"u{number}" for number in range(USERS - len(ODD))]], "user")
    folder = tmp_path_factory.mktemp("bare") / "run"
    epoch = whole.history[0].model_copy(update={"valid": None})
    run = replace(whole, items=items, users=users, valid=whole.test, catalog=None, features={}, history=(epoch,))
    replace(run, best_epoch=1).save(folder)
    return folder


@pytest.fixture(scope="module")
def bare_server(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(bare, tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def fail(page: Page, path: str, answer: Callable[[Route], None] = lambda route: route.abort()) -> None:
    page.route(f"**/api/{path}**", answer)


def hold(page: Page, path: str) -> list[Route]:
    """The requests that wait from now on."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    fail(page, path, keep)
    return held


# ---- Odd ids, and what a run lacks ----


def test_ids_with_any_mark_are_opened_clicked_and_explained(browser: Browser, bare_server: Server) -> None:
    with Visit(browser, bare_server) as visit:
        page = visit.open()
        for identifier in ODD:
            page.evaluate("id => go(itemLink(id))", identifier)
            expect(page.locator("h1")).to_have_text(identifier)
            expect(page.locator("[data-by=model] .card")).to_have_count(12)
            page.evaluate("id => go(userLink(id))", identifier)
            expect(page.locator("h1")).to_have_text(f"User {identifier}")
            expect(page.locator(".why a").first).to_be_visible()
        for identifier in ODD:
            page.evaluate("id => toggle(id)", identifier)
        page.evaluate("go('#/visitor')")
        expect(page.locator("#clicked .card")).to_have_count(len(ODD))
        expect(page.locator("#now .why a").first).to_be_visible()
        page.reload()
        expect(page.locator("#clicked .title")).to_have_text(ODD)


@pytest.mark.parametrize("typed", ["100%", "sl/ash", "<i>x</i>"])
def test_an_address_typed_by_hand_opens_the_item(browser: Browser, bare_server: Server, typed: str) -> None:
    with Visit(browser, bare_server) as visit:
        expect(visit.open(f"item/{typed}").locator("h1")).to_have_text(typed)


def test_a_run_without_pictures_shows_titles_alone(browser: Browser, bare_server: Server) -> None:
    with Visit(browser, bare_server) as visit:
        page = visit.open()
        expect(page.locator(".card .title").first).to_be_visible()
        assert page.locator(".frame:visible").count() == 0
        visit.open("user/u3")
        expect(page.locator(".why a").first).to_be_visible()
        assert page.locator(".frame:visible").count() == 0


def test_a_run_without_metrics_says_so(browser: Browser, bare_server: Server) -> None:
    with Visit(browser, bare_server) as visit:
        page = visit.open("run")
        expect(page.get_by_text("None: no interactions were held out")).to_be_visible()
        expect(page.locator("svg circle")).to_have_count(1)  # a line needs two epochs
        visit.page.evaluate(
            "state.run.curve = [{ epoch: 1, loss: 2, valid: null }, { epoch: 2, loss: 1, valid: null }]"
        )
        page.evaluate("show()")
        expect(page.locator("figure").first.locator(".legend span")).to_have_text(["loss"])


def test_a_missing_picture_leaves_the_letters(browser: Browser, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    started = running(run_folder, tmp_path / "log", "--data", str(tmp_path))
    with started as server, Visit(browser, server) as visit:
        page = visit.open("item/i07")
        expect(page.locator("[data-by=text] .card")).to_have_count(12)
        page.wait_for_load_state("networkidle")
        expect(page.locator("img")).to_have_count(0)
        expect(page.locator(".item .frame")).to_have_text("<B")
        visit.wrong.clear()  # Chromium reports the missing pictures


def test_letters_of_a_title_are_whole_and_texts_keep_their_direction(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
        assert page.evaluate("text => initials(text)", f"{family} lamp") == f"{family} "
        assert page.evaluate("text => initials(text)", "\U0001f600\U0001f600\U0001f600") == "\U0001f600" * 2
        page.evaluate("text => { main.replaceChildren(heading(text)); }", "\u05de\u05e0\u05d5\u05e8\u05d4 (1)")
        assert page.locator("h1").evaluate("title => getComputedStyle(title).direction") == "rtl"


def test_a_long_description_is_cut_until_it_is_asked_for(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        page.evaluate("() => main.replaceChildren(...longText('a long description. '.repeat(200)))")
        short = page.locator(".prose").bounding_box()
        page.get_by_role("button", name="Show all of it").click()
        whole = page.locator(".prose").bounding_box()
        assert short is not None and whole is not None
        assert short["height"] * 2 < whole["height"]


def test_labels_of_many_bins_do_not_overlap(browser: Browser, server: Server) -> None:
    bins = [
        {"least": 2**n, "most": 2 ** (n + 1) - 1, "items": 0.1, "clicked": 0.1, "recommended": 0.1} for n in range(18)
    ]
    with Visit(browser, server, viewport={"width": 360, "height": 700}) as visit:
        page = visit.open("run")
        page.evaluate("bins => main.replaceChildren(popularityChart(bins, 1000))", bins)
        boxes = page.locator("svg text").evaluate_all(
            "texts => texts.map(text => text.getBoundingClientRect()).map(({ left, right, top }) => [left, right, top])"
        )
        row = sorted([box for box in boxes if abs(box[2] - boxes[2][2]) < 2])
        assert len(row) >= 6
        overlaps = [(before, after) for before, after in pairwise(row) if before[1] >= after[0]]
        assert overlaps == []


def test_a_small_share_is_not_none(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        shares = page.evaluate("[0, 0.0004, 0.006, 0.126].map(percent)")
        assert shares == ["0\u00a0%", "under 1\u00a0%", "1\u00a0%", "13\u00a0%"]


def test_a_run_without_hyperparameters_shows_its_chart_at_the_usual_size(browser: Browser, bare_server: Server) -> None:
    with Visit(browser, bare_server, viewport={"width": 1180, "height": 700}) as visit:
        page = visit.open("run")
        before = page.locator("figure").last.bounding_box()
        page.evaluate("state.run.curve = []; state.run.config = {}; show()")
        expect(page.locator("figure")).to_have_count(1)
        after = page.locator("figure").bounding_box()
        assert before is not None and after is not None
        assert after["width"] == before["width"]
        expect(page.get_by_text("Hyperparameters")).to_have_count(0)


# ---- Errors and slow answers ----


def test_a_server_that_is_gone_is_named_and_may_be_tried_again(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        fail(page, "item")
        page.locator(".card > a").first.click()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        page.unroute("**/api/item**")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("[data-by=text] .card")).to_have_count(12)
        visit.wrong.clear()


def test_a_server_that_is_gone_at_the_start_may_be_tried_again(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        fail(visit.page, "run", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad</h1>"))
        page = visit.open("user/u03")
        expect(page.get_by_role("alert")).to_contain_text("The server answers with the error 502.")
        page.unroute("**/api/run**")
        page.get_by_role("link", name="Browse").click()
        expect(page.locator(".card").first).to_be_visible()
        visit.wrong.clear()


def test_a_failed_search_does_not_say_that_nothing_was_found(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        fail(page, "search")
        page.fill("#query", "lampe")
        expect(page.locator("#found")).to_contain_text("The server does not answer")
        visit.wrong.clear()


def test_a_visitor_keeps_the_clicks_while_the_server_does_not_answer(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        page.evaluate("() => setVisitor(['i01', 'i02', 'gone'])")
        fail(page, "item")
        page.evaluate("described.clear()")
        page.evaluate("go('#/visitor')")
        expect(page.locator("#clicked .card")).to_have_count(3)
        page.unroute("**/api/item**")
        page.reload()
        expect(page.locator("#clicked .card")).to_have_count(2)
        expect(page.locator("#lost")).to_contain_text("gone")
        expect(page.locator("#now .why a").first).to_be_visible()
        visit.wrong.clear()


def test_reasons_of_an_earlier_list_do_not_reach_a_later_one(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        held = hold(page, "explain")
        page.evaluate("go('#/user/u03')")
        expect(page.locator(".ranked li")).to_have_count(10)
        page.wait_for_timeout(300)
        fail(page, "explain", lambda route: route.continue_())
        page.evaluate("go('#/user/u04')")
        expect(page.locator(".why a").first).to_be_visible()
        before = page.locator(".ranked").inner_html()
        assert len(held) == 1
        with page.expect_response("**/api/explain"):
            held[0].continue_()
        page.wait_for_timeout(300)
        assert page.locator(".ranked").inner_html() == before


def test_slow_answers_show_that_the_page_waits(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        held = hold(page, "item")
        page.locator(".card > a").first.click()
        expect(page.locator("body")).to_have_class("busy")
        held[0].continue_()
        expect(page.locator("[data-by=text] .card")).to_have_count(12)
        expect(page.locator("body")).not_to_have_class("busy")


def test_enter_opens_what_was_typed_and_not_an_earlier_result(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        page.fill("#query", "lampe 7")
        expect(page.locator("#found [role=option]").first).to_contain_text("Lampe")
        page.fill("#query", "chair 8")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Chair 8")


def test_touching_a_result_to_scroll_does_not_open_it(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open()
        page.fill("#query", "lampe")
        page.locator("#found [role=option]").first.dispatch_event("pointerdown", {"bubbles": True})
        page.wait_for_timeout(200)
        assert page.url.endswith("#/")
        page.locator("#found [role=option]").first.click()
        expect(page.locator(".item h1")).to_contain_text("Lampe")


def test_the_way_back_leads_to_the_same_place_and_the_skip_link_keeps_the_address(
    browser: Browser, server: Server
) -> None:
    with Visit(browser, server, viewport={"width": 700, "height": 400}) as visit:
        page = visit.open()
        expect(page.locator(".card")).to_have_count(24)
        page.locator(".card > a").nth(20).scroll_into_view_if_needed()
        before = page.evaluate("scrollY")
        assert before > 100
        page.locator(".card > a").nth(20).click()
        expect(page.locator("[data-by=text] .card")).to_have_count(12)
        assert page.evaluate("scrollY") == 0
        page.go_back()
        expect(page.locator(".card")).to_have_count(24)
        assert page.evaluate("scrollY") == before
        visit.open("visitor")
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        assert page.url.endswith("#/visitor")


def test_numbers_that_cannot_be_used_do_not_reach_the_server(browser: Browser, server: Server) -> None:
    with Visit(browser, server) as visit:
        page = visit.open("user/u03")
        page.locator("summary").click()
        page.fill("[name=k]", "5")
        expect(page.locator(".ranked li")).to_have_count(5)
        for wrong in ("", "0", "1000", "2.5"):
            page.fill("[name=k]", wrong)
            page.wait_for_timeout(400)
            expect(page.locator(".ranked li")).to_have_count(5)
        page.fill("[name=k]", "38")
        expect(page.get_by_text("Only 35 items can be recommended.")).to_be_visible()


def test_a_token_is_asked_for_until_it_is_right(browser: Browser, run_folder: Path, tmp_path: Path) -> None:
    with running(run_folder, tmp_path / "log", token=TOKEN) as server, Visit(browser, server) as visit:
        page = visit.open("user/u03")
        expect(page.locator("h1")).to_have_text("This server needs a token")
        page.fill("#token", "wr\u00f6ng")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("no letters beyond ASCII")
        page.fill("#token", "wrong-token")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator(".why a").first).to_be_visible()
        visit.wrong = [each for each in visit.wrong if "401" not in each]


def test_a_run_that_is_replaced_meanwhile_is_named_and_shown(browser: Browser, tmp_path: Path) -> None:
    first, second = save_run(tmp_path / "first"), save_run(tmp_path / "second", seed=1)
    replace(Run.load(second), catalog=None).save(second, overwrite=True)
    link = tmp_path / "current"
    link.symlink_to(first)
    with running(link, tmp_path / "log") as server, Visit(browser, server) as visit:
        page = visit.open("item/i07")
        expect(page.locator("h1")).to_contain_text("Lampe")
        (tmp_path / "next").symlink_to(second)
        (tmp_path / "next").rename(link)
        expect(page.locator("#run-name")).to_contain_text("first@")
        while not server.events("swapped"):
            page.wait_for_timeout(200)
        page.fill("#query", "i0")
        expect(page.locator("#outdated")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Show it").click()
        expect(page.locator("#run-name")).to_contain_text("second@")
        expect(page.locator("h1")).to_have_text("i07")  # the new run has no titles
        expect(page.locator("#outdated")).to_be_hidden()


# ---- One file ----


def test_the_file_holds_rows_of_similar_items_for_ids_with_any_mark(browser: Browser, tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", prefix="~*'(\u00e9 /&+")
    with File(browser, folder, tmp_path / "page.html", "--users", "1", "--items", "3") as page:
        page.locator(".card > a").first.click()
        for by in ("model", "image", "text"):
            expect(page.locator(f"[data-by={by}] .card")).to_have_count(12)


def test_the_file_works_where_the_browser_allows_no_storage(browser: Browser, run_folder: Path, tmp_path: Path) -> None:
    """As in the preview of an attachment."""
    with File(browser, run_folder, tmp_path / "page.html", "--users", "2", "--items", "6") as page:
        content = (tmp_path / "page.html").read_text(encoding="utf-8")
        page.goto("about:blank")
        page.evaluate(
            "content => { const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts';"
            "frame.width = frame.height = 900; frame.srcdoc = content; document.body.append(frame); }",
            content,
        )
        inner = page.frame_locator("iframe")
        inner.locator(".card .add").first.click()
        inner.get_by_role("link", name="Visitor").click()
        expect(inner.locator("#now .why a").first).to_be_visible()
