"""Files that try to run code, or to do other harm, when they are opened.

``HOSTILE`` maps names to functions that write one: ``write(path, marker)``. If its code runs, it
creates the file ``marker``. ``HARMLESS`` names the files that can be loaded safely.
"""

import builtins
import cProfile
import ctypes
import functools
import gzip
import importlib
import io
import marshal
import operator
import os
import pickle
import pydoc
import runpy
import shutil
import socket
import struct
import subprocess
import tarfile
import timeit
import webbrowser
import zipfile

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

HOSTILE = {}
HARMLESS = set()
#: Names of files whose code runs if the loader allows it; the others do harm in other ways.
ARMED = set()


def entry(name, harmless=False, armed=False):
    def add(write):
        HOSTILE[name] = write
        if harmless:
            HARMLESS.add(name)
        if armed:
            ARMED.add(name)
        return write

    return add


class Payload:
    """Pickles to a call of ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __call__(self):
        """Makes it callable, so that pickle accepts it as the function of another Payload."""

    def __reduce__(self):
        return self.call


class EvilBuffer(HistoryBuffer):
    def __setstate__(self, state):
        open(state['marker'], 'w').close()


class EvilDict(dict):
    def __reduce_ex__(self, protocol):
        return open, (self['marker'], 'w')


def checkpoint(**parts):
    return {'state_dict': {'w': torch.zeros(2)}, **parts}


def touch(marker):
    return f'touch {marker}'


def code(marker):
    return f'open({str(marker)!r}, "w").close()'


# Calls of known functions, pickled at the top level of the file.

CALLS = {
    'os.system': lambda m: Payload(os.system, touch(m)),
    'subprocess.call': lambda m: Payload(subprocess.call, ['touch', str(m)]),
    'subprocess.check_output': lambda m: Payload(subprocess.check_output, ['touch', str(m)]),
    'eval': lambda m: Payload(eval, code(m)),
    'exec': lambda m: Payload(exec, code(m)),
    'open for writing': lambda m: Payload(open, str(m), 'w'),
    'io.FileIO': lambda m: Payload(io.FileIO, str(m), 'w'),
    'shutil.copyfile': lambda m: Payload(shutil.copyfile, os.devnull, str(m)),
    'os.makedirs': lambda m: Payload(os.makedirs, str(m)),
    'partial': lambda m: Payload(functools.partial(os.system, touch(m))),
    'methodcaller': lambda m: Payload(operator.methodcaller('system', touch(m)), module('os')),
    'attrgetter': lambda m: Payload(Payload(operator.attrgetter('system'), module('os')), touch(m)),
    'getattr of a module': lambda m: Payload(Payload(getattr, module('os'), 'system'), touch(m)),
    'pickle.loads': lambda m: Payload(pickle.loads, pickle.dumps(CALLS['eval'](m))),
    'numpy.load': lambda m: Payload(np.load, saved_array(m), None, True),
    'torch.load': lambda m: Payload(torch.load, saved(CALLS['eval'](m)), None, module('pickle')),
    'torch.hub.load': lambda m: Payload(torch.hub._load_local, hub_folder(m), 'run'),
    'runpy.run_path': lambda m: Payload(runpy.run_path, script(m)),
    'pydoc.importfile': lambda m: Payload(pydoc.importfile, script(m)),
    'timeit.timeit': lambda m: Payload(timeit.timeit, code(m), 'pass', timeit.default_timer, 1),
    'cProfile.run': lambda m: Payload(cProfile.run, code(m), str(m)),
    'marshal and FunctionType': lambda m: Payload(function_of(code(m))),
    'Config.fromstring': lambda m: Payload(Config.fromstring, code(m), '.py'),
    'a class with __setstate__': lambda m: evil_buffer(m),
    'a dict with __reduce_ex__': lambda m: EvilDict(marker=str(m)),
    'in a list': lambda m: [[(CALLS['os.system'](m),)]],
    'in a set': lambda m: {CALLS['os.system'](m)},
    'as a key': lambda m: {CALLS['os.system'](m): 1},
    'in an array': lambda m: np.array([CALLS['os.system'](m)], dtype=object),
    'beside an array': lambda m: {'a': np.zeros(2), 'b': CALLS['os.system'](m)},
    'as an attribute of a parameter': lambda m: parameter_with(CALLS['os.system'](m)),
}

#: Calls that create no marker, or that should not be run even by a test.
OTHER_CALLS = {
    'builtins.__import__': Payload(builtins.__import__, 'this'),
    'importlib.import_module': Payload(importlib.import_module, 'this'),
    'subprocess.Popen': Payload(subprocess.Popen, ['true']),
    'shutil.rmtree': Payload(shutil.rmtree, '/nonexistent/folder'),
    'webbrowser.open': Payload(webbrowser.open, 'http://127.0.0.1:9'),
    'socket': Payload(socket.create_connection, ('127.0.0.1', 9)),
    'marshal.loads': Payload(marshal.loads, marshal.dumps(compile('1', 'text', 'exec'))),
    'ctypes.CDLL': Payload(ctypes.CDLL, 'libnothing.so'),
    'ctypes.string_at': Payload(ctypes.string_at, 0),
    'builtins.type': Payload(type, 'A', (), {}),
    'setattr': Payload(setattr, HistoryBuffer, 'mean', None),
    'vars': Payload(vars, HistoryBuffer),
    'add_safe_globals': Payload(torch.serialization.add_safe_globals, [os.system]),
    'set_default_device': Payload(torch.set_default_device, 'meta'),
    'getattr of a buffer': Payload(getattr, HistoryBuffer, '__init__'),
    'getattr of an instance': Payload(getattr, HistoryBuffer(), 'mean'),
    'globals of a buffer': Payload(getattr, Payload(getattr, HistoryBuffer, 'min'), '__globals__'),
    'class-level methods': Payload(getattr, HistoryBuffer, '_statistics_methods'),
    'a numpy object': np.dtype([('a', 'O')]),
}

PLACES = {
    'state_dict': lambda value: checkpoint(state_dict={'w': torch.zeros(1), 'x': value}),
    'optimizer': lambda value: checkpoint(optimizer={'state': {0: value}, 'param_groups': []}),
    'message_hub': lambda value: checkpoint(message_hub={'log_scalars': {'loss': value}}),
    'meta': lambda value: checkpoint(meta={'epoch': 1, 'dataset_meta': value}),
    'param_schedulers': lambda value: checkpoint(param_schedulers=[{'base_values': value}]),
    'ema_state_dict': lambda value: checkpoint(ema_state_dict={'steps': value}),
}


def module(name):
    return Payload(importlib.import_module, name)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer


def saved_array(marker):
    np.save(f'{marker}.npy', np.array([CALLS['eval'](marker)], dtype=object))
    return f'{marker}.npy'


def script(marker, name='script.py'):
    path = os.path.join(os.path.dirname(marker), name)
    with open(path, 'w') as file:
        file.write(code(marker) + '\ndef run(): pass\n')
    return path


def hub_folder(marker):
    return os.path.dirname(script(marker, 'hubconf.py'))


def function_of(text):
    compiled = Payload(marshal.loads, marshal.dumps(compile(text, 'text', 'exec')))
    return Payload(Payload(getattr, module('types'), 'FunctionType'), compiled, {})


def evil_buffer(marker):
    buffer = EvilBuffer()
    buffer.marker = str(marker)
    return buffer


def parameter_with(value):
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.extra = value
    return parameter


def saver(make):
    return lambda path, marker: torch.save(make(marker), path)


for _name, _make in CALLS.items():
    entry(_name, armed=True)(saver(_make))
for _name, _value in OTHER_CALLS.items():
    entry(_name)(saver(lambda marker, value=_value: checkpoint(meta=dict(x=value))))
for _name, _place in PLACES.items():
    _make = lambda marker, place=_place: place(CALLS['os.system'](marker))  # noqa: E731
    entry(f'in {_name}', armed=True)(saver(_make))


# Other formats.


@entry('legacy format', armed=True)
def legacy(path, marker):
    value = checkpoint(meta=CALLS['os.system'](marker))
    torch.save(value, path, _use_new_zipfile_serialization=False)


@entry('newest pickle protocol', armed=True)
def newest_protocol(path, marker):
    value = checkpoint(meta=CALLS['os.system'](marker))
    torch.save(value, path, pickle_protocol=pickle.HIGHEST_PROTOCOL)


@entry('plain pickle', armed=True)
def plain_pickle(path, marker):
    with open(path, 'wb') as file:
        pickle.dump(checkpoint(meta=CALLS['os.system'](marker)), file)


@entry('text pickle')
def text_pickle(path, marker):
    with open(path, 'wb') as file:
        pickle.dump(CALLS['os.system'](marker), file, protocol=0)


@entry('gzip')
def gzipped(path, marker):
    with gzip.open(path, 'wb') as file:
        pickle.dump(CALLS['os.system'](marker), file)


@entry('tar of old PyTorch', armed=True)
def tar(path, marker):
    with tarfile.open(path, 'w') as file:
        for name in ('storages', 'tensors'):
            add_to_tar(file, name, pickle.dumps(0) + pickle.dumps([]))
        add_to_tar(file, 'pickle', pickle.dumps(CALLS['os.system'](marker)))


def add_to_tar(file, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file.addfile(info, io.BytesIO(content))


@entry('TorchScript')
def torchscript(path, marker):
    """torch.load would pass it to torch.jit.load."""
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('a/data.pkl', pickle.dumps(CALLS['os.system'](marker), 2))
        file.writestr('a/constants.pkl', pickle.dumps(CALLS['os.system'](marker), 2))
        file.writestr('a/code/__torch__.py', code(marker))
        file.writestr('a/version', '3\n')


def zip_of(path, program, **members):
    """A file in torch's format that contains a pickle."""
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('a/data.pkl', program)
        file.writestr('a/version', '3\n')
        file.writestr('a/byteorder', 'little')
        for name, content in members.items():
            file.writestr(f'a/data/{name}', content)


@entry('a second pickle in a zip', harmless=True)
def second_pickle(path, marker):
    hostile = pickle.dumps(CALLS['os.system'](marker), 2)
    zip_of(path, pickle.dumps(dict(state_dict={}), 2), extra=hostile)


@entry('a second folder in a zip')
def second_folder(path, marker):
    torch.save(checkpoint(), path)
    with zipfile.ZipFile(path, 'a') as file:
        file.writestr('other/data.pkl', pickle.dumps(CALLS['os.system'](marker), 2))


@entry('the same name twice in a zip')
def same_name_twice(path, marker):
    hostile = pickle.dumps(CALLS['os.system'](marker), 2)
    with zipfile.ZipFile(path, 'w') as file:
        for program in (hostile, pickle.dumps(checkpoint(state_dict={}), 2), hostile):
            file.writestr('a/data.pkl', program)
        file.writestr('a/version', '3\n')


@entry('named safetensors')
def safetensors(path, marker):
    legacy(f'{path}.safetensors', marker)
    os.replace(f'{path}.safetensors', path)


# Pickles written by hand, which cannot be made from Python objects.


def of(name):
    return b'c' + name.replace(':', '\n').encode() + b'\n'


def text(value):
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def number(value):
    return b'J' + struct.pack('<i', value)


def tup(*items):
    return b'(' + b''.join(items) + b't'


def table(**items):
    return b'}(' + b''.join(text(key) + value for key, value in items.items()) + b'u'


def call(function, *arguments):
    return function + tup(*arguments) + b'R'


def new(kind, state):
    return kind + b')\x81' + state + b'b'


def program(value):
    """The pickle of a checkpoint that contains a value."""
    return b'\x80\x02' + table(state_dict=b'}', meta=table(x=value)) + b'.'


BUFFER = of('mmengine.logging.history_buffer:HistoryBuffer')
REBUILD = of('torch._utils:_rebuild_tensor_v2')
HUGE = b'\x8a\x06' + struct.pack('<Q', 2**40)[:6]
EMPTY_ARRAY = call(
    of('numpy._core.multiarray:_reconstruct'), of('numpy:ndarray'), tup(number(0)), text('b')
)
SYSTEM = of('posix:system')


def data(length):
    """Bytes, as protocol 2 writes them."""
    return call(of('_codecs:encode'), text('A' * length), text('latin1'))


def dtype(spec, flags=0, fields=b'NNN'):
    made = call(of('numpy:dtype'), text(spec), b'\x89', b'\x88')
    state = tup(number(3), text('|'), fields, number(-1), number(-1), number(flags))
    return made + state + b'b'


def array(kind, content):
    return EMPTY_ARRAY + tup(number(1), tup(number(2)), kind, b'\x89', content) + b'b'


FLOATS = array(dtype('f8'), data(16))


def buffer_with(**state):
    log = dict(max_length=number(9), _log_history=FLOATS, _count_history=FLOATS)
    return new(BUFFER, table(**{**log, **state}))


def python2(marker):
    return call(of('__builtin__:execfile'), text(script(marker)))


HAND_WRITTEN = {
    'posix.system': lambda m: call(SYSTEM, text(touch(m))),
    'execfile of Python 2': python2,
    'old buffer class': lambda m: new(of('copy_reg:_reconstructor'), table()),
    'functions for the buffer class': lambda m: buffer_with(
        statistics_methods=table(mean=SYSTEM, min=REBUILD)
    ),
    'a buffer of text': lambda m: buffer_with(_log_history=text('no numbers')),
    'a buffer of no length': lambda m: buffer_with(max_length=text('long')),
    'a buffer that is called': lambda m: call(BUFFER, b']', b']'),
    'a buffer with another class': lambda m: new(BUFFER, table(__class__=REBUILD)),
    'a buffer with slots': lambda m: new(BUFFER, tup(b'N', table(mean=REBUILD))),
    'a buffer by a tensor function': lambda m: call(
        of('torch._tensor:_rebuild_from_type_v2'), BUFFER, BUFFER, b')', table(mean=REBUILD)
    ),
    'another call by a tensor function': lambda m: call(
        of('torch._tensor:_rebuild_from_type_v2'), SYSTEM, SYSTEM, tup(text(touch(m))), b'N'
    ),
    # Bytes as pointers to Python objects.
    'pointers as objects': lambda m: array(dtype('O'), data(16)),
    'pointers as objects, hidden': lambda m: array(dtype('O8', flags=0), data(16)),
    'numbers as objects': lambda m: array(dtype('f8', flags=63), data(16)),
    'fields of objects': lambda m: array(
        dtype('V8', fields=b'N' + tup(text('a')) + table(a=tup(dtype('O'), number(0)))), data(16)
    ),
    'a list as numbers': lambda m: array(dtype('f8'), b']'),
    'a scalar object': lambda m: call(
        of('numpy._core.multiarray:scalar'), dtype('O'), call(SYSTEM, text(touch(m)))
    ),
    'a long scalar': lambda m: call(of('numpy._core.multiarray:scalar'), dtype('f8'), data(10_000)),
    'an array beyond its bytes': lambda m: (
        EMPTY_ARRAY + tup(number(1), tup(number(10**9)), dtype('f8'), b'\x89', data(16)) + b'b'
    ),
    'an array of unset memory': lambda m: call(of('numpy:ndarray'), tup(number(1000))),
    'a dtype by a list': lambda m: call(of('numpy:dtype'), b']', b'\x89', b'\x88'),
    'a huge bytearray': lambda m: call(
        of('__builtin__:bytearray'), b'\x8a\x07' + b'\x00' * 6 + b'\x10'
    ),
    'a huge tensor': lambda m: call(of('torch:FloatTensor'), number(2**31 - 1), number(2**31 - 1)),
    'a module of old PyTorch': lambda m: (
        tup(text('module'), SYSTEM, text('file.py'), text(code(m))) + b'Q'
    ),
    'a storage that is not there': lambda m: storage(b'9'),
    'a storage of more than there is': lambda m: storage(b'0'),
    'a stack that runs empty': lambda m: b'0000000',
    'an unknown operation': lambda m: b'\xff',
    'a memo that is not there': lambda m: b'h\xff',
}


def storage(key):
    kind = of('torch:FloatStorage')
    persistent = tup(text('storage'), kind, text(key.decode()), text('cpu'), HUGE) + b'Q'
    return call(REBUILD, persistent, number(0), tup(HUGE), tup(number(1)), b'\x89', b'}')


for _name, _make in HAND_WRITTEN.items():
    entry(_name)(
        lambda path, marker, make=_make: zip_of(path, program(make(marker)), **{'0': b'1234'})
    )
HARMLESS |= {'numbers as objects'}


# Classes that a file may name: placeholders store their arguments.


@entry('a module that calls in its state')
def module_with_a_call(path, marker):
    net = torch.nn.Linear(1, 1)
    net.extra = CALLS['os.system'](marker)
    torch.save(net, path)


INERT = {
    'a class of a project': lambda m: new(of('trap.net:Net'), table(a=text(touch(m)))),
    'a function of a project': lambda m: call(of('trap.net:run'), text(touch(m))),
    'an object with a class of its own': lambda m: new(
        of('trap.net:Net'), tup(b'N', table(__class__=of('trap.net:Other'), __dict__=b'}'))
    ),
    'a module in itself': lambda m: (
        of('torch.nn.modules.linear:Linear') + b')\x81q\x01}(' + text('_modules')
        + b'}(' + text('a') + b'h\x01u' + text('_parameters') + b'}ub'
    ),
}  # fmt: skip
for _name, _make in INERT.items():
    entry(_name, harmless=True)(
        lambda path, marker, make=_make: zip_of(path, program(make(marker)))
    )


# Pickles in numpy files, whose code must not run either.


def npy_of(path, pickled):
    header = dict(descr='|O', fortran_order=False, shape=())
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b'\x80\x02' + pickled + b'.')


@entry('an array of objects')
def array_of_objects(path, marker):
    with open(path, 'wb') as file:
        np.save(file, np.array({'a': CALLS['os.system'](marker)}, dtype=object))


@entry('an archive of arrays of objects')
def archive_of_objects(path, marker):
    with open(path, 'wb') as file:
        np.savez(file, a=np.array([CALLS['eval'](marker)], dtype=object))


NUMPY = {
    'system': lambda m: call(SYSTEM, text(touch(m))),
    'getattr': lambda m: call(of('__builtin__:getattr'), of('numpy:dtype'), text('__init__')),
    'a function with a state': lambda m: (
        of('numpy.core.multiarray:_reconstruct') + tup(b'N', table(__code__=text('x'))) + b'b'
    ),
    'a class with a state': lambda m: of('numpy:ndarray') + tup(b'N', table(x=text('y'))) + b'b',
    'encode into a file': lambda m: call(of('_codecs:open'), text(str(m)), text('w')),
    'a persistent object': lambda m: text('x') + b'Q',
    'an extension': lambda m: b'\x82\x01',
    'pointers': lambda m: array(dtype('O'), data(16)),
    'a dict of a class': lambda m: new(of('collections:OrderedDict'), table(x=text('y'))),
    'a memo far away': lambda m: b'Nr\xff\xff\xff\x7f0h\x05',
    'more bytes than there are': lambda m: b'T\xff\xff\xff\x7fabc',
}
for _name, _make in NUMPY.items():
    entry(f'numpy: {_name}')(lambda path, marker, make=_make: npy_of(path, make(marker)))


# Programs as text, and contents of wrong kinds.


@entry('meta.config, which mmengine runs', harmless=True)
def meta_config(path, marker):
    torch.save(checkpoint(meta=dict(epoch=1, iter=1, config=code(marker))), path)


@entry('meta.cfg', harmless=True)
def meta_cfg(path, marker):
    torch.save(checkpoint(meta=dict(epoch=1, iter=1, cfg=code(marker))), path)


@entry('deeply nested', harmless=True)
def nested(path, marker):
    depth = 10_000
    zip_of(path, program(b']' * depth + b'a' * (depth - 1)))


@entry('in itself', harmless=True)
def in_itself(path, marker):
    items = []
    items.append(items)
    torch.save(checkpoint(meta=dict(x=items)), path)


for _key, _value in {
    'state_dict': [1],
    'meta': 'text',
    'message_hub': [],
    'optimizer': (1,),
    'param_schedulers': 'text',
}.items():
    entry(f'wrong {_key}')(saver(lambda marker, k=_key, v=_value: checkpoint(**{k: v})))


@entry('weights named by numbers')
def named_by_numbers(path, marker):
    torch.save({1: torch.zeros(2)}, path)
