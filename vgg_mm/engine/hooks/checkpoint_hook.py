"""mmengine's CheckpointHook, with an intact checkpoint on the disk at any moment."""

import hashlib
import io
import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Optional, Union

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import (
    BaseStorageBackend,
    FileClient,
    HardDiskBackend,
    LocalBackend,
    get_file_backend,
)
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from vgg_mm.checkpoints import (
    LAST_CHECKPOINT,
    WHOLE_FILES,
    check_room,
    is_intact,
    load_checkpoint,
    named_checkpoint,
    write_atomically,
)
from vgg_mm.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Save checkpoints so that a run that is killed, or whose disk is full, can be resumed.

    It has mmengine's arguments and does the same, but

    - a checkpoint gets its name when it is complete on the disk, ``last_checkpoint`` names it after
      that, and only then are outdated ones removed, also the old best (``save_best``);
    - before a checkpoint is written, the free space is compared with its size;
    - only this hook's own files in its own folder are removed, regardless of the paths in the
      checkpoint that a run resumes from;
    - with ``save_best='auto'`` a segmentor's best checkpoint is that of its first mean over classes
      (mIoU, mDice, mFscore), not that of the accuracy over all pixels, which is the first metric.

    Raises:
        OSError: in one line, if there is not enough disk space, with the folder, the bytes needed
            and free, and the checkpoint to resume from.
    """

    # Set by mmengine's, without types.
    file_backend: Any
    best_ckpt_path: Any
    published_keys: Any

    file_client_args: Optional[dict]
    backend_args: Optional[dict]

    def before_train(self, runner: Runner) -> None:
        self._use_atomic_writes(self.out_dir or runner.work_dir)
        kept = runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
        if not isinstance(kept, list) or not all(isinstance(number, int) for number in kept):
            raise ValueError(  # mmengine removes checkpoints of these numbers
                f'the checkpoint to resume from names {kept!r} as the numbers of those to keep'
            )
        super().before_train(runner)
        if getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._own(self.best_ckpt_path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = path and self._own(path)
        # Now, not after an epoch.
        with _naming_resume_point(runner):
            self._check_room(runner)

    def _use_atomic_writes(self, folder: str) -> None:
        """Replace mmengine's plain backend of local files by one with atomic writes."""
        if self.file_client_args is None:
            backend = get_file_backend(folder, backend_args=self.backend_args)
        else:
            backend = FileClient.infer_client(self.file_client_args, folder).client
        if type(backend) in (LocalBackend, HardDiskBackend):
            self.file_client_args, self.backend_args = None, dict(backend=WHOLE_FILES)

    def _own(self, path: str) -> str:
        """A best checkpoint's path in this run's folder, which may have been moved."""
        name = os.path.basename(str(path))
        if not name.startswith('best_'):
            raise ValueError(f'the checkpoint to resume from names {path!r} as the best one')
        return self.file_backend.join_path(self.out_dir, name)

    def _save_checkpoint(self, runner: Runner) -> None:
        with _naming_resume_point(runner):
            super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        kept = []
        if self.max_keep_ckpts > 0:
            kept = [*(old for old in self.keep_ckpt_ids if old != step), step]
            # Including outdated ones: if the run is killed before it removes them, the next one
            # does.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', path)
        self._check_room(runner)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            last = os.path.join(runner.work_dir, LAST_CHECKPOINT)
            write_atomically(last, str(path).encode())
        self.last_ckpt = path
        if kept:
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept)  # it takes max_keep_ckpts of them, the newest
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        outdated = [self.filename_tmpl.format(old) for old in kept[: -self.max_keep_ckpts]]
        self._remove(self.file_backend.join_path(self.out_dir, old) for old in outdated)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if self.save_best == ['auto']:
            metrics = {
                key: value for key, value in metrics.items() if key.rpartition('/')[2] != 'aAcc'
            } or metrics
        backend = self.file_backend
        self.file_backend = later = _RemoveLater(backend)
        try:
            with _naming_resume_point(runner):
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        current = [getattr(self, 'best_ckpt_path', None)]
        current += getattr(self, 'best_ckpt_path_dict', {}).values()
        self._remove(path for path in later.outdated if path not in current)

    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        """As mmengine's: ``published_keys`` alone, in a file whose name ends with their hash."""
        if not is_main_process():
            return
        checkpoint = load_checkpoint(ckpt_path)
        published = {k: v for k, v in checkpoint.items() if k in self.published_keys}
        file = io.BytesIO()
        torch.save(published, file)
        start = os.path.splitext(ckpt_path)[0]
        path = f'{start}-{hashlib.sha256(pickle.dumps(published)).hexdigest()[:8]}.pth'
        self.file_backend.put(file.getvalue(), path)
        runner.logger.info(f'{ckpt_path} is published, with {", ".join(published)} only: {path}')

    def _remove(self, paths: Iterable[str]) -> None:
        if not is_main_process():
            return
        for path in paths:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # of DeepSpeed
                self.file_backend.rmtree(path)

    def _check_room(self, runner: Runner) -> None:
        """Compare the free space with the size of a checkpoint, as far as it is known."""
        if not is_main_process() or '://' in str(self.out_dir):
            return
        os.makedirs(self.out_dir, exist_ok=True)
        tensors = [*runner.model.parameters(), *runner.model.buffers()]
        if self.save_optimizer:
            tensors += _optimizer_tensors(runner.optim_wrapper)
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        check_room(self.out_dir, needed, 'a checkpoint')


class _RemoveLater:
    """A file backend that only records what to remove."""

    def __init__(self, backend: BaseStorageBackend):
        self._backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    rmtree = remove


def _optimizer_tensors(wrapper: Union[OptimWrapper, OptimWrapperDict]) -> list[torch.Tensor]:
    """Momentum and the like; none before the first step."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [
        value
        for one in wrappers
        for state in one.optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]


@contextmanager
def _naming_resume_point(runner: Runner) -> Iterator[None]:
    """Add to an OSError which checkpoint the run can resume from."""
    try:
        yield
    except OSError as error:
        last = named_checkpoint(runner.work_dir)
        stays = last is not None and is_intact(last)
        rest = f'{last} stays' if stays else 'there is no checkpoint to resume from'
        raise OSError(f'{error}; {rest}') from error
