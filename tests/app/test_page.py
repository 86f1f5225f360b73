"""``vgg-mm app`` in Chromium; requires the packages of requirements/dev.txt."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.conftest import heed_ctrl_c

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'chrome'))), None)


@pytest.fixture(scope='module')
def page(net_a):
    """Address of the page, started as a user starts it; at the end it is stopped by Ctrl-C."""
    pytest.importorskip('gradio')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'vgg_mm_cli', 'app', str(net_a), '--port', str(port)]
    running = subprocess.Popen(
        [*command, '--device', 'cpu'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'}, preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    assert running.stdout is not None
    line = next((line for line in running.stdout if 'http://' in line), '')
    found = re.search(r'http://\S+', line)
    assert found, running.stdout.read()
    yield found[0]
    running.send_signal(signal.SIGINT)
    said = running.stdout.read()
    assert running.wait(60) == 130 and 'Traceback' not in said and 'stopped' in said


@pytest.fixture(scope='module')
def browser():
    api = pytest.importorskip('playwright.sync_api')
    if CHROMIUM is None:
        pytest.skip('no Chromium on this machine')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


def upload(page, path):
    page.set_input_files('#photo input[type=file]', str(path))


def shown(page):
    """The URL of the picture that is shown, which differs between pictures."""
    page.wait_for_selector('#view img', timeout=120_000)
    return page.locator('#view img').get_attribute('src')


def wait_for_other(page, before):
    deadline = time.monotonic() + 120
    while shown(page) == before:
        assert time.monotonic() < deadline, 'the picture has not changed'
        page.wait_for_timeout(100)


def test_a_visit(page, browser, spot, tmp_path):
    """Upload, set Q, choose a view, click, compare; a broken photo; no request to other hosts."""
    visit = browser.new_page()
    others = []
    visit.on('request', lambda r: others.append(r.url) if not r.url.startswith(page) else None)
    visit.goto(page)
    upload(visit, spot)
    before = shown(visit)
    assert 'dense evaluation took' in visit.inner_text('#said')
    first = visit.inner_text('#whole')
    visit.fill('#scale input[type=number]', '288')
    visit.keyboard.press('Tab')
    wait_for_other(visit, before)
    before = shown(visit)
    visit.click('#views >> text=windows of dense')
    wait_for_other(visit, before)
    before = shown(visit)
    visit.click('#view img')
    wait_for_other(visit, before)
    assert '%' in visit.inner_text('#window') and '%' in first
    assert re.search(r'\(about\s\d+\ss\)', visit.inner_text('#compare'))
    visit.click('#compare')
    visit.wait_for_selector('#compared table', timeout=120_000)
    text = visit.inner_text('#compared')
    assert 'dense + multi-crop' in text and ' s' in text
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    upload(visit, tmp_path / 'broken.jpg')
    visit.wait_for_selector('#said >> text=broken.jpg cannot be read as an image', timeout=60_000)
    assert visit.inner_text('#compare') == 'Compare the protocols'
    visit.click('#compare')
    visit.wait_for_selector('#compared >> text=The photo was not evaluated', timeout=60_000)
    assert 'cannot be read as an image' in visit.inner_text('#said')
    upload(visit, spot)
    visit.wait_for_selector('#said >> text=dense evaluation took', timeout=60_000)
    assert not [url for url in others if not url.startswith(('data:', 'blob:'))]
    visit.close()


def test_q_by_keyboard(page, browser, spot):
    """Q can be set by Enter and arrow keys; the chosen view is kept."""
    visit = browser.new_page()
    visit.goto(page)
    upload(visit, spot)
    before = shown(visit)
    visit.click('#views >> text=windows of dense')
    wait_for_other(visit, before)
    number, slider = '#scale input[type=number]', '#scale input[type=range]'
    for press in (
        lambda: (visit.fill(number, '320'), visit.press(number, 'Enter')),
        lambda: visit.press(slider, 'ArrowRight'),
        lambda: (visit.fill(number, '9'), visit.press(number, 'Enter')),
    ):
        before = shown(visit)
        press()
        wait_for_other(visit, before)
        q = int(visit.input_value(number))
        assert f'on the photo at {q * 200 // 120} x {q}' in visit.inner_text('#caption')
        assert 'Dense evaluation' in visit.inner_text('#caption')
    assert q == 224
    # The shown picture is not computed again.
    before = shown(visit)
    visit.click('#view img')
    wait_for_other(visit, before)
    before = shown(visit)
    visit.click(number)
    visit.click('#caption')
    visit.wait_for_timeout(2000)
    assert shown(visit) == before and '%' in visit.inner_text('#window')
    visit.fill(number, '288')
    visit.click('#compare')
    visit.wait_for_selector('#compared table', timeout=120_000)
    assert 'on the photo at 480 x 288' in visit.inner_text('#caption')
    visit.wait_for_timeout(2000)
    assert visit.locator('#compared table').count() == 1
    visit.close()


def test_on_a_phone(page, browser, spot):
    visit = browser.new_page(viewport=dict(width=390, height=800))
    visit.goto(page)
    upload(visit, spot)
    shown(visit)
    visit.click('#compare')
    visit.wait_for_selector('#compared table', timeout=120_000)
    assert visit.evaluate('document.documentElement.scrollWidth') <= 390
    for name in ('whole', 'window'):
        assert visit.locator(f'#{name}').bounding_box()['width'] > 300
    assert visit.locator('[style*=linear-gradient]').bounding_box()['width'] > 90
    visit.close()


def test_two_visitors_see_their_own_photos(page, browser, spot, tmp_path):
    other = tmp_path / 'other.png'
    Image.new('RGB', (120, 300), (200, 30, 30)).save(other)
    one, two = (browser.new_context().new_page() for _ in range(2))
    for visit in (one, two):
        visit.goto(page)
    upload(one, spot)
    upload(two, other)
    sizes = []
    for visit in (one, two):
        shown(visit)
        sizes.append(
            visit.evaluate(
                "(i => [i.naturalWidth, i.naturalHeight])(document.querySelector('#view img'))"
            )
        )
    assert sizes == [[720, 432], [288, 720]]
    for visit in (one, two):
        visit.close()
