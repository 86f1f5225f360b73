"""The page: what is where on it, and what happens when something is touched."""

import glob
import html
import ipaddress
import os
import threading
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from vgg_mm.apis.errors import Kind, kind_of, one_line
from vgg_mm.apis.runner import AUTO
from vgg_mm.installation import argument

from .explorer import (
    CROPS,
    MAP,
    MAX_BYTES,
    MAX_SCALE,
    PROTOCOLS,
    SCALE_STEP,
    VIEWS,
    Explorer,
    Look,
)

#: Default weights; downloaded when the first photo is given.
WEIGHTS = 'torchvision://vgg16'

EXAMPLES = os.path.join(os.path.dirname(__file__), 'examples')

#: Q at first, and the least, in pixels: of nets that take crops of 224.
SCALE, MIN_SCALE = 384, 224

#: Classes that a list shows.
TOP = 5

#: Seconds after which photos of visitors are removed, and between the checks for them.
KEEP, LOOK_FOR = 3600, 600

TITLE = 'VGG: what it sees, and where'

#: cv2's viridis, which the map is drawn in, at eight places.
_COLOURS = '#440154, #46327e, #365c8d, #277f8e, #1fa187, #4ac16d, #a0da39, #fde725'

LEGEND = f"""<div>posterior of the class at a place:</div>
<div style="display: flex; gap: 0.6em; align-items: center; white-space: nowrap">
<span>0 %</span>
<span style="flex: 1; min-width: 6em; height: 0.9em;
  background: linear-gradient(to right, {_COLOURS})"></span>
<span>100 %</span></div>"""

COMPARE = 'Compare the protocols'

HINT = 'Click a place in the picture to see what its window alone would say.'

#: The whole picture is seen at once; on a phone tables scroll, not the page.
CSS = """
.gradio-container {max-width: 1280px !important}
#view img {object-fit: contain; max-height: 460px}
#compared {overflow-x: auto}
#weights input {text-overflow: ellipsis; margin-right: 2.5em}
#compared th, #compared td {padding: 0.2em 0.8em; text-align: right; white-space: nowrap}
#compared th:first-child, #compared td:first-child {text-align: left}
@media (max-width: 36rem) {#whole, #window {min-width: 100% !important}}
"""

#: Gradio's slider tells of a value whenever a pointer is released on it or it loses the focus, also
#: of the old one, and not of one by keyboard; with this, of each new value once.
SCRIPT = """() => {
  const isField = target => target.matches?.('#scale input');
  for (const type of ['pointerup', 'blur'])
    document.addEventListener(type, event => {
      if (event.isTrusted && isField(event.target)) event.stopPropagation();
    }, true);
  document.addEventListener('change', ({target}) => {
    if (!isField(target)) return;
    if (target.type === 'number') {
      target.value = Math.min(Math.max(target.value, target.min), target.max);
      target.dispatchEvent(new Event('input', {bubbles: true}));
    }
    target.dispatchEvent(new Event('pointerup', {bubbles: true}));
  });
}"""


def serve(
    weights: Sequence[str] = (),
    host: str = '127.0.0.1',
    port: int = 7860,
    device: Optional[str] = None,
    kernels: str = AUTO,
    open_browser: bool = False,
) -> None:
    """Serve the page until Ctrl-C.

    Visitors on the same machine may name any weights; others choose among those given.

    Args:
        weights: The nets that can be chosen, as ``predict`` takes a checkpoint; none:
            ``torchvision://vgg16``.
        host: Address to listen on; ``0.0.0.0`` for all of the machine's.
        port: 1 to 65535.
        device, kernels: As of ``predict``.
        open_browser: Whether to open a browser there.

    Raises:
        ImportError: in one line, without gradio.
        OSError, ValueError: if host or port cannot be used.
    """
    gradio = _gradio()
    if not 1 <= port <= 65535:
        raise ValueError(f'{argument("port")} must be 1 to 65535, got {port}')
    page = build(weights or [WEIGHTS], Explorer(device, kernels), any_weights=_is_local(host))
    fonts = dict(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
    page.queue(max_size=32)
    page.launch(
        server_name=host,
        server_port=port,
        theme=gradio.themes.Default(**fonts),  # the default's fonts come from the network
        css=CSS,
        js=SCRIPT,
        max_file_size=MAX_BYTES,
        footer_links=[],
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        inbrowser=open_browser,
    )
    print(f'{TITLE}: http://{host}:{port} (Ctrl-C stops it)', flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def build(weights: Sequence[str], explorer: Explorer, any_weights: bool = True) -> Any:
    """The page, a ``gradio.Blocks``.

    Args:
        weights: The nets that can be chosen, the first one at first.
        explorer: Runs photos through nets.
        any_weights: Whether others can be named.
    """
    gr = _gradio()

    def nothing(said: str = '') -> list:
        classes = gr.update(choices=[], value=None)
        return [None, None, said, classes, gr.skip(), None, '', None, None, '', COMPARE]

    def look(
        path: Optional[str],
        name: str,
        q: int,
        before: Optional[Look],
        chosen: Optional[int],
        view: str,
    ) -> list:
        if path is None:
            return nothing()
        same = before is not None and (before.path, before.weights) == (path, name)
        if before is not None and same and before.score_map.q == int(q):
            return [gr.skip()] * len(outputs)
        try:
            # Requests that do not come from the page's fields cannot read other files either.
            if not any_weights and name not in weights:
                raise ValueError(f'these weights are not offered; available: {", ".join(weights)}')
            found = explorer.look(path, name, int(q))
        except Exception as error:
            return nothing(f'**{_said(error)}**')
        order = found.order()
        if not same:
            chosen = None
        label = order[0] if chosen is None else chosen
        choices = [(found.classes[i], i) for i in order]
        lines = [f'{len(order):,} classes; dense evaluation took {found.seconds:.1f} s.']
        lines = [html.escape(line) for line in [*lines, *found.notices]]
        said = '\n'.join(f'- {line}' for line in lines) if len(lines) > 1 else lines[0]
        classes = gr.update(choices=choices, value=label)
        picture, caption = found.draw(label, view), found.caption(view)
        top = _top(found.posterior, found)
        compare = f'{COMPARE} (about\xa0{_rounded(found.seconds_to_compare())}\xa0s)'
        return [found, chosen, said, classes, view, picture, caption, top, None, '', compare]

    def draw(found: Optional[Look], label: Optional[int], view: str) -> list:
        if found is None or label is None:
            return [None, '', None]
        return [found.draw(int(label), view), found.caption(view), None]

    # By this type Gradio knows to pass the touched position.
    def touch(
        found: Optional[Look],
        label: Optional[int],
        view: str,
        event: gr.SelectData,  # type: ignore[name-defined]
    ) -> list:
        if found is None or label is None:
            return [None, None]
        row, column = found.position(*event.index)
        shown = found.draw(int(label), view, None if view == CROPS else (row, column))
        return [shown, _top(found.score_map.posteriors[:, row, column], found)]

    def compare(path: Optional[str], found: Optional[Look]) -> str:
        if found is None:
            return 'Give a photo first.' if path is None else 'The photo was not evaluated.'
        try:
            return _table(explorer.compare(found), found)
        except Exception as error:
            return f'<b>{html.escape(_said(error))}</b>'

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(LOOK_FOR, KEEP)) as page:
        gr.Markdown(f'# {TITLE}')
        state = gr.State(None)
        # A field's value may be of another photo by the time a request is served; a state is not.
        chosen = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                photo = gr.Image(
                    label=f'photo, at most {MAX_BYTES >> 20} MB',
                    sources=['upload', 'clipboard'], image_mode=None, height=280, elem_id='photo',
                )  # fmt: skip
                # The file itself, so that the page's own message says what cannot be read.
                photo.preprocess = lambda payload: None if payload is None else payload.path
                gr.Examples(sorted(glob.glob(f'{EXAMPLES}/*.jpg')), photo, label='examples')
                net = gr.Dropdown(
                    _choices(weights), value=weights[0], label='weights', interactive=True,
                    allow_custom_value=any_weights, elem_id='weights',
                    info='a name or a file' if any_weights else None,
                )  # fmt: skip
                scale = gr.Slider(
                    MIN_SCALE, MAX_SCALE, SCALE, step=SCALE_STEP, label='test scale Q',
                    info='pixels of the smaller side', elem_id='scale',
                )  # fmt: skip
                said = gr.Markdown(elem_id='said')
            with gr.Column(scale=2, min_width=320):
                with gr.Row():
                    view = gr.Radio(list(VIEWS), value=MAP, label='over the photo', elem_id='views')
                    label = gr.Dropdown([], label='class', interactive=True, elem_id='class')
                gr.Markdown(HINT)
                picture = gr.Image(
                    show_label=False, interactive=False, format='png', elem_id='view',
                    buttons=['download', 'fullscreen'],
                )  # fmt: skip
                legend = gr.HTML(LEGEND)
                caption = gr.Markdown(elem_id='caption')
                with gr.Row():
                    whole = gr.Label(label='the photo, dense', elem_id='whole', num_top_classes=TOP)
                    window = gr.Label(
                        label='the window alone', elem_id='window', num_top_classes=TOP
                    )
                button = gr.Button(COMPARE, elem_id='compare')
                compared = gr.HTML(elem_id='compared')
        net_runs = dict(concurrency_id='net', concurrency_limit=1, show_progress_on=picture)
        outputs = [
            state,
            chosen,
            said,
            label,
            view,
            picture,
            caption,
            whole,
            window,
            compared,
            button,
        ]
        inputs = [photo, net, scale, state, chosen, view]
        for happens in (photo.change, net.change, scale.release):
            happens(look, inputs, outputs, trigger_mode='always_last', **net_runs)
        label.input(int, label, chosen)
        label.input(draw, [state, label, view], [picture, caption, window])
        view.input(draw, [state, label, view], [picture, caption, window])
        view.change(lambda shown: gr.update(visible=shown == MAP), view, legend)
        picture.select(touch, [state, label, view], [picture, window])
        # First what may just have been typed.
        button.click(look, inputs, outputs, **net_runs).then(
            compare, [photo, state], compared, concurrency_id='net', show_progress_on=compared
        )
    return page


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the page needs Gradio: pip install 'vgg_mm[app]'") from error
    return gradio


def _choices(weights: Sequence[str]) -> list[tuple[str, str]]:
    """What the list shows and stands for: the last two parts of a path, if no other has them."""
    shown = [
        name if '://' in name else os.path.join(*os.path.normpath(name).split(os.sep)[-2:])
        for name in weights
    ]
    return [(end if shown.count(end) == 1 else name, name) for end, name in zip(shown, weights)]


def _is_local(host: str) -> bool:
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _said(error: Exception) -> str:
    """One line; a bug is raised again, with its traceback on the console."""
    if kind_of(error) is not Kind.USERS:
        raise error
    return one_line(error)


def _rounded(seconds: float) -> str:
    """To two digits, at least 1."""
    return f'{max(1, float(f"{seconds:.2g}")):.0f}'


def _top(posterior: np.ndarray, found: Look) -> dict[str, float]:
    return {found.classes[i]: float(posterior[i]) for i in np.argsort(-posterior)[:TOP]}


def _table(results: dict[str, tuple[np.ndarray, float]], found: Look) -> str:
    """Posteriors by class and protocol, with what each took."""
    order = np.argsort(-results['both'][0], kind='stable')[:TOP]
    head = ''.join(f'<th>{name}</th>' for name in PROTOCOLS.values())
    rows = ''.join(
        f'<tr><td>{html.escape(found.classes[label])}</td>'
        + ''.join(f'<td>{100 * results[name][0][label]:.1f} %</td>' for name in PROTOCOLS)
        + '</tr>'
        for label in order
    )
    times = ''.join(f'<td>{results[name][1]:.1f} s</td>' for name in PROTOCOLS)
    return f'<table><tr><th>class</th>{head}</tr>{rows}<tr><td>time</td>{times}</tr></table>'
