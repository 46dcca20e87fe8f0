"""Names become folders: through the hub's cache, options and offline switches; a folder never asks the network."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from pocketbert import AutoConfig, CheckpointError, DistilBertConfig, HubError, UnsafeFileError
from pocketbert.storage import connection, hub
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, find_file, local_folder, safe_name

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def hub_that_answers(monkeypatch):
    """Let the hub be there; what it has, the tests say."""
    monkeypatch.setattr(hub, "unreachable", lambda: None)


@pytest.fixture
def cache(tmp_path):
    """Make a hub cache with two revisions of org/model, and return its path."""
    repo = tmp_path / "hub" / "models--org--model"
    for folder in ("refs", "blobs"):
        (repo / folder).mkdir(parents=True)
    (repo / "refs" / "main").write_text(NEW)
    (repo / "refs" / "v1").write_text(OLD)
    for revision, layers in ((OLD, 1), (NEW, 2)):
        put(repo, revision, "config.json", json.dumps({"model_type": "distilbert", "n_layers": layers}))
        put(repo, revision, "model.safetensors", revision)
    return tmp_path / "hub"


def put(repo, revision, name, text):
    blob = repo / "blobs" / f"{revision[:4]}-{name.replace('/', '-')}"
    blob.write_text(text)
    link = repo / "snapshots" / revision / name
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(blob)
    except OSError:  # Windows allows links only to some users; there the hub's client copies, too
        shutil.copyfile(blob, link)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# -- folders ---------------------------------------------------------------------------------------------------


def test_a_folder_never_touches_the_network(tmp_path, no_network, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    DistilBertConfig(n_layers=3).save_pretrained(tmp_path / "org" / "model")
    monkeypatch.chdir(tmp_path)  # a relative path may look like a hub name
    for path in (tmp_path / "org" / "model", str(tmp_path / "org" / "model"), "org/model", "./org/model"):
        options = HubOptions(revision="main", force_download=True, token="secret")
        assert local_folder(path, CONFIG_FILES, weights=True, options=options).samefile(tmp_path / "org" / "model")
        assert AutoConfig.from_pretrained(path, revision="main").n_layers == 3


def test_home_is_expanded(tmp_path, no_network, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows
    (tmp_path / "model").mkdir()
    assert local_folder("~/model") == tmp_path / "model"


def test_subfolders(tmp_path, no_network):
    DistilBertConfig(n_layers=3).save_pretrained(tmp_path / "model" / "inner")
    DistilBertConfig().save_pretrained(tmp_path / "outside")
    assert AutoConfig.from_pretrained(tmp_path / "model", subfolder="inner").n_layers == 3
    for subfolder in ("../outside", str(tmp_path / "outside")):
        with pytest.raises(UnsafeFileError, match=r"subfolder .* leaves"):
            local_folder(tmp_path / "model", options=HubOptions(subfolder=subfolder))
    with pytest.raises(CheckpointError, match=r"no folder .*nowhere"):
        local_folder(tmp_path / "model", options=HubOptions(subfolder="nowhere"))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "../nowhere", "a/b/c", "a\\b", "~/nowhere"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_name(name, no_network):
    with pytest.raises(CheckpointError, match=r"no folder .*pass an existing checkpoint folder or a hub name"):
        local_folder(name)


def test_a_file_is_no_checkpoint_folder(tmp_path):
    (tmp_path / "model.safetensors").write_text("x")
    with pytest.raises(CheckpointError, match=r"is a file; pass the folder that holds config\.json"):
        local_folder(tmp_path / "model.safetensors")


# -- hub names -------------------------------------------------------------------------------------------------


def test_the_cache_and_its_revisions_are_used(cache):
    for revision, layers, commit in ((None, 2, NEW), ("main", 2, NEW), ("v1", 1, OLD), (OLD, 1, OLD)):
        options = HubOptions(revision=revision, cache_dir=cache)
        folder = local_folder("org/model", CONFIG_FILES, weights=True, options=options)
        assert folder.name == commit
        assert (folder / "model.safetensors").read_text() == commit
        config = DistilBertConfig.from_pretrained("org/model", revision=revision, cache_dir=cache)
        assert (config.n_layers, config.name_or_path) == (layers, "org/model")


def test_the_default_cache_is_the_hubs(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    assert AutoConfig.from_pretrained("org/model").n_layers == 2


@pytest.mark.parametrize("how", ["environment", "local_files_only"])
def test_an_unknown_name_offline(cache, monkeypatch, how):
    if how == "local_files_only":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    options = HubOptions(cache_dir=cache, local_files_only=how == "local_files_only")
    with pytest.raises(HubError, match=r"config\.json of org/other.*or pass a local folder"):
        local_folder("org/other", CONFIG_FILES, options=options)
    with pytest.raises(HubError, match="org/other has none of a, b that can be reached"):
        local_folder("org/other", optional=["a", "b"], options=options)
    with pytest.raises(HubError, match="org/other has no weights that can be reached"):
        local_folder("org/other", weights=True, options=options)
    with pytest.raises(HubError, match="or pass a local folder"):
        local_folder("org/model", CONFIG_FILES, options=replace(options, revision="v9"))


def test_a_name_that_is_no_name():
    for name in ("", "a b", "org/mo:del", "-x-"):
        with pytest.raises(HubError, match="no hub name either"):
            local_folder(name, CONFIG_FILES)


def test_options_reach_the_hub(monkeypatch, tmp_path):
    asked = []

    def download(name, file, **options):
        asked.append((name, file, options))
        (tmp_path / file).write_text("{}")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    options = HubOptions("v2", tmp_path, True, "secret", True, "inner")
    assert local_folder("org/model", CONFIG_FILES, options=options) == tmp_path
    expected = {
        "revision": "v2", "cache_dir": str(tmp_path), "local_files_only": True, "token": "secret",
        "force_download": True, "subfolder": "inner",
    }  # fmt: skip
    assert asked == [("org/model", "config.json", expected)]


def fetcher(monkeypatch, folder, present, error):
    """Let the hub have the files ``present``; every other name raises ``error``."""
    asked = []

    def download(name, file, **options):
        asked.append(file)
        if file not in present:
            raise error
        (folder / file).write_text(present[file])
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_a_sharded_checkpoint_is_fetched_whole(monkeypatch, tmp_path):
    index = json.dumps(
        {"weight_map": {"x": "model-2.safetensors", "y": "model-1.safetensors", "z": "model-1.safetensors"}}
    )
    present = {
        "config.json": "{}",
        "model.safetensors.index.json": index,
        "model-1.safetensors": "",
        "model-2.safetensors": "",
    }
    asked = fetcher(monkeypatch, tmp_path, present, EntryNotFoundError("404"))
    local_folder("org/model", CONFIG_FILES, ["vocab.txt"], weights=True)
    assert asked[-3:] == ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]
    del present["model-2.safetensors"]
    with pytest.raises(HubError, match=r"org/model has no model-2\.safetensors"):
        local_folder("org/model", weights=True)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ('{"weight_map": {"x": "../../secret"}}', UnsafeFileError, "leaves its folder"),
        ('{"weight_map": {"x": 3}}', CheckpointError, "has no weight_map"),
        ('{"weight_map": ["x"]}', CheckpointError, "has no weight_map"),
        ('{"metadata": {}}', CheckpointError, "has no weight_map"),
        ("[]", CheckpointError, "a JSON object was expected"),
        ("{", CheckpointError, "is not JSON"),
        ("[" * 100_000, CheckpointError, "is not JSON"),
    ],
)
def test_an_index_from_the_hub_is_not_trusted(monkeypatch, tmp_path, index, error, message):
    asked = fetcher(monkeypatch, tmp_path, {"model.safetensors.index.json": index}, EntryNotFoundError("404"))
    with pytest.raises(error, match=message):
        local_folder("org/model", weights=True)
    assert asked == ["model.safetensors", "model.safetensors.index.json"]


def test_a_lost_connection_is_no_reason_to_take_the_pickle(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = fetcher(monkeypatch, tmp_path, {"pytorch_model.bin": "x"}, LocalEntryNotFoundError("no connection"))
    options = HubOptions(cache_dir=tmp_path)
    with pytest.raises(HubError, match=r"cannot reach the hub for model\.safetensors of org/model: no connection"):
        local_folder("org/model", weights=True, options=options)
    assert asked == ["model.safetensors"]


def test_without_a_connection_the_cache_knows_what_the_repository_lacks(monkeypatch, tmp_path, cache):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    repo = cache / "models--org--model"
    for name in ("model.safetensors", "model.safetensors.index.json"):
        (repo / "snapshots" / NEW / name).unlink(missing_ok=True)
        (repo / ".no_exist" / NEW).mkdir(parents=True, exist_ok=True)
        (repo / ".no_exist" / NEW / name).touch()
    asked = fetcher(monkeypatch, tmp_path, {"pytorch_model.bin": "x"}, LocalEntryNotFoundError("no connection"))
    assert local_folder("org/model", weights=True, options=HubOptions(cache_dir=cache)) == tmp_path
    assert asked[-1] == "pytorch_model.bin"


def test_a_refusal_of_the_hub_is_named(monkeypatch, tmp_path):
    fetcher(monkeypatch, tmp_path, {}, ConnectionError("proxy says no\nand more"))
    with pytest.raises(HubError, match=r"cannot fetch config\.json of org/model: proxy says no; check the name"):
        local_folder("org/model", CONFIG_FILES)


# -- a hub that cannot be reached --------------------------------------------------------------------------------


@pytest.fixture(params=["refuses", "never answers"])
def lost_hub(request, monkeypatch):
    """Let the hub be a socket that refuses, or one that never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "never answers":
            server.listen()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
        monkeypatch.setattr(hub, "unreachable", connection.unreachable)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        reset_session()
        yield endpoint
        reset_session()  # it remembers whether it was offline


def reset_session():
    from huggingface_hub import utils

    (getattr(utils, "close_session", None) or utils.reset_sessions)()


def test_a_hub_that_cannot_be_reached_is_one_line(lost_hub, tmp_path, caplog, monkeypatch):
    asked = []
    client = huggingface_hub.hf_hub_download
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **o: (asked.append(o), client(*a, **o))[1])
    options = HubOptions(cache_dir=tmp_path)
    why = rf"cannot reach the hub for \S+ of org/other: {lost_hub} does not answer \(.*(refused|timed out).*\); check"
    for look in (
        lambda: local_folder("org/other", CONFIG_FILES, options=options),
        lambda: local_folder("org/other", optional=["vocab.txt"], options=options),
        lambda: local_folder("org/other", weights=True, options=options),
        lambda: find_file("org/other", "modules.json", options),
        lambda: AutoConfig.from_pretrained("org/other", cache_dir=tmp_path),
    ):
        with pytest.raises(HubError, match=why) as caught:
            look()
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    assert len(asked) == 5
    assert all(options["local_files_only"] for options in asked)  # so that the client does not try six times
    assert not caplog.records


def test_without_the_hub_the_cache_is_used(lost_hub, cache):
    options = HubOptions(cache_dir=cache)
    assert local_folder("org/model", CONFIG_FILES, weights=True, options=options).name == NEW
    assert find_file("org/model", "config.json", options).parent.name == NEW


# -- names of files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/../b", "a\\b", "..\\x", "C:x", "C:\\x", "a\x00b", "./x"]
)
def test_a_name_that_leaves_its_folder_is_refused(name):
    with pytest.raises(UnsafeFileError, match=r"index\.json names .* which leaves its folder"):
        safe_name(name, where="index.json")


def test_a_plain_name_stays():
    assert safe_name("model-00001-of-00002.safetensors", where="index.json") == "model-00001-of-00002.safetensors"


def test_a_subfolder_whose_name_is_too_long(tmp_path):
    for subfolder in ("a" * 300, "a/" * 3000):
        with pytest.raises(CheckpointError, match="no folder"):
            local_folder(tmp_path, options=HubOptions(subfolder=subfolder))
