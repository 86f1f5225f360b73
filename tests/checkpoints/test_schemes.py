"""Every kind of checkpoint name that mmengine supports is loaded safely."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from tests.checkpoints.hostile import HOSTILE
from vgg_mm import zoo
from vgg_mm.checkpoints import loading_safely, schemes

load = CheckpointLoader.load_checkpoint


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.requests.append(self.path)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """torch.hub's folder, for this test only."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with loading_safely():
        yield tmp_path / 'hub' / 'checkpoints'


@pytest.fixture
def server(tmp_path):
    """A web server with a folder of checkpoints; its ``url`` and ``requests``."""
    folder = tmp_path / 'www'
    folder.mkdir()
    handler = partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as found:
        found.folder, found.requests = folder, []
        found.url = f'http://127.0.0.1:{found.server_port}'
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def save(folder, name='net.pth', **content):
    torch.save(content or dict(w=torch.ones(2)), folder / name)
    return folder / name


def one_line(error):
    assert '\n' not in str(error.value)
    return str(error.value)


def test_all_loaders_of_mmengine_are_replaced():
    for prefix, loader in CheckpointLoader._schemes.items():
        assert loader.__module__ in (schemes.__name__, zoo.__name__), prefix


def test_a_url(server, hub):
    save(server.folder)
    for _ in range(2):
        assert load(f'{server.url}/net.pth?x=1')['w'].tolist() == [1, 1]
    assert server.requests == ['/net.pth?x=1'] and (hub / 'net.pth').is_file()


def test_a_file_of_that_name_was_downloaded_before(server, hub, capsys):
    path = save(server.folder)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    (server.folder / f'net-{digits}.pth').write_bytes(path.read_bytes())
    for name in ('net.pth', f'net-{digits}.pth'):
        load(f'{server.url}/{name}')
    assert 'downloaded before' not in capsys.readouterr().err
    load(f'{server.url}/another/net.pth')
    load(f'{server.url}/net-{digits}.pth')  # whose name says what it contains
    told = f'{server.url}/another/net.pth: using {hub / "net.pth"}, downloaded before; remove it'
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(told)


def test_a_hostile_url(server, hub, tmp_path):
    HOSTILE['os.system'](server.folder / 'bad.pth', tmp_path / 'marker')
    with pytest.raises(ValueError, match='refers to posix.system; trust_checkpoint=True') as error:
        load(f'{server.url}/bad.pth')
    assert f'(from {server.url}/bad.pth: remove the file to download it again)' in one_line(error)
    assert str(hub / 'bad.pth') in str(error.value) and not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('date', ['', '_20210208', '-20210208'])
def test_the_hash_in_a_name(server, hub, date):
    path = save(server.folder)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    right, wrong = f'net{date}-{digits}.pth', f'net{date}-{digits[::-1]}.pth'
    for name in (right, wrong):
        (server.folder / name).write_bytes(path.read_bytes())
    load(f'{server.url}/{right}')
    with pytest.raises(OSError, match='invalid hash value .* download the file manually') as error:
        load(f'{server.url}/{wrong}')
    assert f'{server.url}/{wrong} was not downloaded: ' in one_line(error)
    assert [path.name for path in hub.iterdir()] == [right]


def test_a_date_is_not_a_hash(server):
    save(server.folder, 'net-20210208.pth')
    load(f'{server.url}/net-20210208.pth')


def test_a_url_that_fails(server, hub):
    with pytest.raises(OSError, match='nothing.pth was not downloaded: HTTP Error 404') as error:
        load(f'{server.url}/nothing.pth')
    assert 'download the file manually and give its path instead of the URL' in one_line(error)
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match='net.pth was not downloaded: .*refused'):
        load(f'{server.url}/net.pth')
    with pytest.raises(ValueError, match='names no file'):
        load('https://localhost/')
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize('prefix', schemes._ZOOS)
def test_a_model_zoo(server, monkeypatch, prefix):
    save(server.folder, state_dict={'backbone.w': torch.ones(1), 'head.w': torch.ones(1)})
    urls = {'vgg11': f'{server.url}/net.pth'}
    monkeypatch.setattr(schemes, '_ZOOS', {**schemes._ZOOS, prefix: lambda: urls})
    names = list(load(f'{prefix}vgg11')['state_dict'])
    assert names == (['w'] if prefix == 'mmcls://' else ['backbone.w', 'head.w'])
    with pytest.raises(ValueError) as error:
        load(f'{prefix}vgg1')
    assert one_line(error) == f"{prefix} has no model 'vgg1'; did you mean 'vgg11'?"


def test_the_real_zoos(monkeypatch, tmp_path):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    urls = []
    monkeypatch.setattr(schemes, 'load_from_http', lambda url, _: urls.append(url) or {})
    for name in ('torchvision://vgg16', 'mmcls://vgg16', 'openmmlab://vgg16_caffe'):
        load(name)
    assert [url.rpartition('/')[2].partition('-')[0] for url in urls] == [
        'vgg16',
        'vgg16_batch256_imagenet_20210208',
        'vgg16_caffe',
    ]


def test_a_file_of_a_zoo(monkeypatch, tmp_path):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    (tmp_path / 'open_mmlab.json').write_text('{"mine": "folder/mine.pth"}')
    (tmp_path / 'folder').mkdir()
    HOSTILE['os.system'](tmp_path / 'folder' / 'mine.pth', tmp_path / 'marker')
    with pytest.raises(ValueError, match='mine.pth was not loaded: it refers to posix.system'):
        load('open-mmlab://mine')
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize(
    'name', ['pavi://a/b.pth', 's3://a/b.pth', 'cluster:s3://a/b.pth', 'petrel://a/b.pth']
)
def test_storage_services(name):
    with pytest.raises(ValueError, match='^.*://a/b.pth: download the file and give its path$'):
        load(name)


def test_deprecated_names(server, monkeypatch):
    save(server.folder)
    old, new = next(iter(mmengine_checkpoint.get_deprecated_model_names().items()))
    monkeypatch.setattr(
        mmengine_checkpoint, 'get_external_models', lambda: {new: f'{server.url}/net.pth'}
    )
    zoos = {'open-mmlab://': mmengine_checkpoint.get_external_models}
    monkeypatch.setattr(schemes, '_ZOOS', zoos)
    assert 'w' in load(f'open-mmlab://{old}')
