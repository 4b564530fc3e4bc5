"""The API answers like the run, and refuses what it cannot answer with a documented problem."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from prismrec.retrieval import Retriever
from prismrec.runs import Run
from prismrec.serving import Limits, ServerSettings, batches, create_app

SCORES = {"rel": 1e-5, "abs": 1e-6}


def post(client: TestClient, path: str, **body: object) -> Response:
    return client.post(f"/api/{path}", json=body)


def listed(answer: Response, row: int = 0) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["item"] for each in answer.json()["lists"][row]["items"]]


def assert_problem(answer: Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    for word in words:
        assert word in answer.json()["detail"]


def test_recommendations_for_users_are_those_of_the_run(client: TestClient, run: Run) -> None:
    answer = post(client, "recommend", users=["u03", "u07"], k=5, columns=["title", "price"])
    table = run.recommend(["u03", "u07"], k=5)
    for row, user in enumerate(["u03", "u07"]):
        expected = table.filter(table["user"] == user)
        assert listed(answer, row) == expected["item"].to_list()
        items = answer.json()["lists"][row]["items"]
        assert [each["score"] for each in items] == pytest.approx(expected["score"].to_list(), **SCORES)
        assert [each["fields"]["title"] for each in items] == expected["title"].to_list()
    assert answer.headers["x-prismrec-run"] == answer.json()["run"]


def test_recommendations_for_visitors_and_for_users_with_further_clicks(client: TestClient, run: Run) -> None:
    answer = post(client, "recommend", histories=[["i01", "i02"], ["i03", "nowhere"]], k=4)
    assert listed(answer, 0) == run.recommend(histories=["i01", "i02"], k=4)["item"].to_list()
    assert listed(answer, 1) == run.recommend(histories=["i03"], k=4)["item"].to_list()
    assert answer.json()["ignored"] == ["nowhere"]
    clicks = post(client, "recommend", users=["u01"], histories=[["i05"]], k=4)
    assert listed(clicks) == run.recommend("u01", histories=[["i05"]], k=4)["item"].to_list()


def test_all_filters_work_as_in_python(client: TestClient, run: Run) -> None:
    rules = {"exclude": ["i30"], "where": "price > 10", "at_most": {"brand": 2}, "diversity": 0.4}
    assert (
        listed(post(client, "recommend", users=["u02"], k=6, **rules))
        == run.recommend("u02", k=6, **rules)["item"].to_list()
    )
    few = post(client, "recommend", users=["u02"], k=6, candidates=["i01", "i02"], seen=True)
    assert sorted(listed(few)) == ["i01", "i02"]
    assert few.json()["lists"][0]["shorter"]
    stranger = post(client, "recommend", users=["u59"], k=3)
    assert stranger.json()["lists"][0]["popular"]


def test_similar_items_by_the_model_and_by_a_modality(client: TestClient, run: Run) -> None:
    for by in ("model", "image", "text"):
        answer = post(client, "similar", items=["i04", "i05"], by=by, k=3)
        table = run.similar(["i04", "i05"], k=3, by=by)
        assert listed(answer, 1) == table.filter(table["similar_to"] == "i05")["item"].to_list()


def test_reasons_are_those_of_the_run(client: TestClient, run: Run) -> None:
    answer = post(client, "explain", history=["i01", "i02"], items=["i07"])
    expected = run.explain(None, "i07", history=["i01", "i02"])
    reasons = answer.json()["reasons"]
    assert [each["clicked"] for each in reasons] == expected["clicked"].to_list()
    assert [each["contribution"] for each in reasons] == pytest.approx(expected["contribution"].to_list(), **SCORES)
    assert answer.json()["exact"] is True
    assert answer.json()["ignored"] == []
    known = post(client, "explain", history=["i01", "nowhere", "i02"], items=["i07"]).json()
    assert known == answer.json() | {"ignored": ["nowhere"]}


def test_the_strongest_reasons_of_each_item_are_all_that_are_sent_on_request(client: TestClient) -> None:
    asked = {"history": ["i01", "i02", "i30"], "items": ["i10", "i11", "i10"]}
    every = post(client, "explain", **asked).json()["reasons"]
    first = post(client, "explain", **asked, k=2).json()["reasons"]
    assert first == [each for number, each in enumerate(every) if number % 3 < 2]
    assert len(post(client, "explain", **asked, k=9).json()["reasons"]) == len(every) == 9


def test_a_new_item_with_the_features_of_an_old_one_is_placed_beside_the_items_that_resemble_it(
    client: TestClient, run: Run
) -> None:
    features = {name: run.features[name][[5, 6]].float() for name in ("image", "text")}
    rows = {name: matrix.tolist() for name, matrix in features.items()}
    answer = post(client, "new-items", features=rows, users=["u01", "u02"], k=3)
    vectors = run.newcomers.embed_items(features)
    expected = run.embeddings.users[[1, 2]] @ vectors.T
    assert answer.json()["scores"][1] == pytest.approx(expected[:, 1].tolist(), **SCORES)
    assert len(listed(answer, 0)) == 3


def test_search_folds_case_and_accents_and_prefers_beginnings_of_words(client: TestClient) -> None:
    found = client.get("/api/search", params={"q": "ÉTE lamp", "kind": "items", "limit": 100}).json()
    assert len(found["items"]) == 20
    assert all("Lampe" in each["fields"]["title"] for each in found["items"])
    assert client.get("/api/search", params={"q": "i07"}).json()["items"][0]["item"] == "i07"
    assert [
        each["user"]
        for each in client.get("/api/search", params={"q": "u1", "kind": "users", "limit": 3}).json()["users"]
    ]
    assert client.get("/api/search", params={"q": "no such words"}).json() == {"items": [], "users": []}


def test_items_users_and_the_run_are_described(client: TestClient, run: Run) -> None:
    item = client.get("/api/item", params={"id": "i00"}).json()
    assert item["fields"]["title"] == "Chair 0"
    assert item["alike"] == ["text"]  # it lacks the picture's features
    assert item["picture"] is True
    user = client.get("/api/user", params={"id": "u03"}).json()
    assert user["clicks"] == 5
    numbers = client.get("/api/run").json()
    assert numbers["facts"]["items"] == 40
    assert numbers["config"] == {"layers": 2, "regulariser": 1e-4, "rank": 64}  # the model chose its rank
    assert sum(each["recommended"] for each in numbers["popularity"]) == pytest.approx(1)
    assert sum(each["clicked"] for each in numbers["popularity"]) == pytest.approx(1)
    assert [point["valid"] for point in numbers["curve"]] == pytest.approx([1 / 9, 2 / 9])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("recommend", {"users": ["nobody"]}, ["'nobody'"]),
        ("recommend", {"users": ["u01"], "k": 0}, ["k"]),
        ("recommend", {"users": ["u01"], "k": 10**9}, ["k", "100 or less"]),
        ("recommend", {"users": ["u01"], "k": 10**40}, ["k"]),
        ("recommend", {"users": ["u01"] * 51}, ["51 lists", "50 or fewer"]),
        ("recommend", {"users": ["u01"] * 50, "k": 21}, ["1,000 items"]),
        ("recommend", {}, ["neither users nor histories"]),
        ("recommend", {"users": "u01"}, ["users", "list"]),
        ("recommend", {"users": [1]}, ["users", "string"]),
        ("recommend", {"users": []}, ["users"]),
        ("recommend", {"histories": []}, ["histories"]),
        ("recommend", {"histories": [[]]}, ["no item"]),
        ("recommend", {"histories": [["x", "y"]]}, ["only unknown item ids", "'x'"]),
        ("recommend", {"users": ["u01"], "wher": "price > 1"}, ["wher"]),
        ("recommend", {"users": ["u01"], "where": "prize > 1"}, ["'prize'", "price"]),
        ("recommend", {"users": ["u01"], "where": "drop table items"}, ["where"]),
        ("recommend", {"users": ["u01"], "where": "price"}, ["where", "true or false"]),
        ("recommend", {"users": ["u01"], "where": "(" * 1999}, ["where"]),
        ("recommend", {"users": ["u01"], "columns": ["prize"]}, ["'prize'"]),
        ("recommend", {"users": ["u01"], "unknown": "maybe"}, ["unknown"]),
        ("recommend", {"users": ["u59"], "unknown": "refuse"}, ["no training interaction"]),
        ("similar", {"items": ["nothing"]}, ["'nothing'"]),
        ("similar", {"items": ["i00"], "by": "image"}, ["no image features"]),
        ("similar", {"items": ["i00"], "by": "sound"}, ["'sound'"]),
        ("similar", {"items": ["i00"], "by": ""}, ["by: found ''"]),
        ("similar", {"items": ["i00"], "by": " popularity"}, ["by: found ' popularity'"]),
        ("explain", {"items": ["i00"]}, ["neither user nor history"]),
        ("new-items", {"features": {"image": [[1.0]]}}, ["modalities"]),
        ("new-items", {"features": {"image": [[1.0]], "text": [[1.0]]}}, ["[n, 5]"]),
        ("new-items", {"features": {"image": [[1.0], [1.0, 2.0]], "text": [[1.0]]}}, ["features"]),
        ("new-items", {"features": {"image": [], "text": []}}, ["features"]),
        ("new-items", {"features": {"image": [[1.0, -1e300]], "text": [[1.0]]}}, ["-1e+300 in row 0", "±3.40e+38"]),
    ],
)
def test_what_cannot_be_answered_is_a_422_that_says_why(
    client: TestClient, path: str, body: dict[str, object], words: list[str]
) -> None:
    assert_problem(post(client, path, **body), 422, *words)


DEEP = b'{"users": ' + b"[" * 9000 + b"]" * 9000 + b"}"
LONG_NUMBER = b'{"users": ["u01"], "k": ' + b"9" * 9000 + b"}"
HALF_A_PAIR = b'{"users": ["\\ud800"]}'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"nonsense", b'{"users": ["u01"], "k": NaN}', DEEP, LONG_NUMBER, HALF_A_PAIR],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_not_json_are_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("given", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_body_of_another_type_is_refused_with_the_type_to_use(client: TestClient, given: str) -> None:
    body = b'{"users": ["u01"]}'
    answer = client.post("/api/recommend", content=body, headers={"Content-Type": given})
    assert_problem(answer, 415, f"Content-Type: found {given}; expected application/json")


def test_a_large_body_is_refused_before_it_is_read(client: TestClient) -> None:
    def parts():
        for _ in range(1000):
            read.append(1)
            yield b" " * 1000

    read: list[int] = []
    declared = client.post("/api/recommend", content=b" " * 30_000, headers={"Content-Type": "application/json"})
    assert_problem(declared, 413, "20,000 bytes")
    streamed = client.post("/api/recommend", content=parts(), headers={"Content-Type": "application/json"})
    assert_problem(streamed, 413, "20,000 bytes")


def test_unknown_ids_and_paths_are_not_found(client: TestClient) -> None:
    assert_problem(client.get("/api/item", params={"id": "nothing"}), 404)
    assert_problem(client.get("/api/user", params={"id": "nobody"}), 404)
    assert_problem(client.get("/api/picture", params={"id": "nothing"}), 404)
    assert_problem(client.get("/nowhere"), 404)
    assert_problem(client.get("/api/recommend"), 405)


def test_requests_that_take_too_long_end_with_503(settings: ServerSettings) -> None:
    slow = replace(settings, limits=Limits(seconds=1e-5))
    with TestClient(create_app(slow), base_url="http://localhost") as client:
        assert_problem(post(client, "recommend", users=["u01"]), 503, "seconds")


@pytest.mark.parametrize("path", ["recommend", "similar", "explain", "new-items"])
def test_nothing_is_computed_for_a_request_that_has_run_out_of_time(
    settings: ServerSettings, run: Run, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A large request is computed in parts, and the parts that have not begun are dropped."""
    calls = []

    def slowed(answer):
        def slow(*args, **kwargs):
            calls.append(answer)
            time.sleep(0.05)
            return answer(*args, **kwargs)

        return slow

    for name in ("recommend", "nearest", "explain"):
        monkeypatch.setattr(Retriever, name, slowed(getattr(Retriever, name)))
    monkeypatch.setattr(batches, "_PART", 1)
    bodies = {
        "recommend": {"users": run.users.ids[:40].to_list()},
        "similar": {"items": run.items.ids[:40].to_list()},
        "explain": {"user": "u01", "items": run.items.ids[:40].to_list()},
        "new-items": {"features": {"image": [[0.5] * 5] * 40, "text": [[0.5] * 5] * 40}},
    }
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        whole = post(client, path, **bodies[path])
        assert whole.status_code == 200
        at_once = len(calls)
    calls.clear()
    short = replace(settings, limits=replace(settings.limits, seconds=0.4))
    with TestClient(create_app(short), base_url="http://localhost") as client:
        calls.clear()  # those of the self-test
        assert_problem(post(client, path, **bodies[path]), 503, "seconds")
        computed = len(calls)
        time.sleep(0.4)
        assert len(calls) <= computed + 1
        assert computed < at_once / 2


def test_a_request_in_parts_has_the_answer_of_a_whole_one(
    client: TestClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = run.users.ids[:50].to_list()
    bodies = [
        ("recommend", {"users": everyone, "k": 4}),
        ("recommend", {"histories": [["i01", "i02"], ["i03", "x"]] * 25, "k": 3, "where": "price < 20"}),
        ("recommend", {"users": everyone[:12], "k": 4, "diversity": 0.5, "at_most": {"brand": 2}}),
        ("similar", {"items": run.items.ids[:40].to_list(), "k": 4}),
        ("explain", {"history": ["i01", "i02"], "items": run.items.ids[:40].to_list()}),
        ("new-items", {"features": {"image": [[0.5] * 5] * 9, "text": [[0.5] * 5] * 9}, "users": ["u01", "u02"]}),
    ]
    whole = [post(client, path, **body).json() for path, body in bodies]
    monkeypatch.setattr(batches, "_PART", 3)
    monkeypatch.setattr(batches, "_VARIED_PART", 1)
    for (path, body), expected in zip(bodies, whole, strict=True):
        assert close(post(client, path, **body).json(), expected), path


def close(found: object, expected: object) -> bool:
    """Whether two answers are equal but for the rounding of numbers."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(close(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(close, found, expected))
    return found == (pytest.approx(expected, rel=1e-4, abs=1e-6) if isinstance(expected, float) else expected)


def test_too_many_waiting_requests_end_with_503(settings: ServerSettings) -> None:
    full = replace(settings, limits=Limits(waiting=0))
    with TestClient(create_app(full), base_url="http://localhost") as client:
        assert_problem(post(client, "recommend", users=["u01"]), 503, "waiting")


@pytest.mark.parametrize(
    "path", ["/", "/page.css", "/health", "/ready", "/metrics", "/api/run", "/api/item?id=i01", "/api/picture?id=i01"]
)
def test_head_is_answered_like_get_without_a_body(client: TestClient, path: str) -> None:
    """Load balancers ask for the state of a server in this way."""
    full, head = client.get(path), client.head(path)
    assert head.status_code == full.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length", "x-prismrec-run", "cache-control"):
        if path != "/metrics" or name != "content-length":  # the metrics count requests
            assert head.headers[name] == full.headers[name]


def test_head_is_refused_like_get(client: TestClient) -> None:
    assert [client.head(path).status_code for path in ("/nothing", "/api/item?id=no", "/api/recommend")] == [
        404,
        404,
        405,
    ]
    assert client.head("/nothing").content == b""


def test_a_token_protects_everything_but_the_page_and_health(settings: ServerSettings) -> None:
    secret = replace(settings, token="correct horse battery")
    with TestClient(create_app(secret), base_url="http://localhost") as client:
        for path in ("/api/run", "/api/picture?id=i01", "/metrics", "/openapi.json", "/api/search"):
            refused = client.get(path)
            assert_problem(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer correct", "Basic correct horse battery", "Bearer é"):
            assert client.get("/api/run", headers={"Authorization": wrong.encode()}).status_code == 401
        right = {"Authorization": "Bearer correct horse battery"}
        assert client.get("/api/search", headers=right).status_code == 200
        assert [client.get(path).status_code for path in ("/", "/page.js", "/page.css", "/health", "/ready")] == [
            200
        ] * 5


def test_a_local_server_refuses_other_host_names(client: TestClient) -> None:
    """A page of another site can make its own name point to 127.0.0.1."""
    assert_problem(client.get("/api/run", headers={"Host": "evil.example:8000"}), 421)


def test_other_origins_may_call_only_if_they_are_named(settings: ServerSettings, client: TestClient) -> None:
    origin = {"Origin": "https://shop.example"}
    assert "access-control-allow-origin" not in client.get("/api/search", headers=origin).headers
    with TestClient(
        create_app(replace(settings, cors=("https://shop.example",))), base_url="http://localhost"
    ) as named:
        assert named.get("/api/search", headers=origin).headers["access-control-allow-origin"] == "https://shop.example"
        other = named.get("/api/search", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "/etc/passwd",
        "images/link.png",
        "images/loop.png",
        "images",
        "notes.txt",
        "images/0.png\0",
        "x" * 5000,
        "",
    ],
)
def test_no_picture_comes_from_outside_the_folder(shop: Path, name: str) -> None:
    from prismrec.serving.pictures import PictureFolder

    link = shop / "images/link.png"
    if not link.is_symlink():
        link.symlink_to(shop.parent / "secret.png")
        (shop / "images/loop.png").symlink_to("loop.png")
    (shop / "notes.txt").write_text("private")
    assert PictureFolder(shop).find("images/0.png") is not None
    assert PictureFolder(shop).find(name) is None


def test_pictures_have_their_type(client: TestClient) -> None:
    picture = client.get("/api/picture", params={"id": "i03"})
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_logs_name_no_user_and_no_item(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    post(client, "recommend", users=["u03"], histories=[["i05"]])
    post(client, "recommend", users=["nobody"])
    client.get("/api/user", params={"id": "u03"})
    client.get("/api/search", params={"q": "u03"})
    client.get("/nobody")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["route"] for line in lines] == ["/api/recommend"] * 2 + ["/api/user", "/api/search", "unmatched"]
    assert not any(word in json.dumps(lines) for word in ("u03", "i05", "nobody"))


def test_metrics_count_requests_and_lists(client: TestClient) -> None:
    post(client, "recommend", users=["u01", "u02"])
    text = client.get("/metrics").text
    assert 'prismrec_requests_total{route="/api/recommend",status="200"}' in text
    assert "prismrec_lists_total" in text


def test_every_refusal_is_documented_in_the_openapi_description(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    for path in ("/api/recommend", "/api/similar", "/api/explain", "/api/new-items"):
        operation = schema["paths"][path]["post"]
        assert set(operation["responses"]) == {"200", "400", "401", "413", "415", "422", "503"}
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert schema["components"]["schemas"][name]["examples"]
    assert "Problem" in schema["components"]["schemas"]


def test_the_page_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
