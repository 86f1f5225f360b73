#!/usr/bin/env bash
# Train under Slurm: [GPUS=8] tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options]
set -euo pipefail
if [ $# -lt 4 ]; then
  echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]" \
    "  (GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS)" >&2
  exit 2
fi
exec "$(dirname "$0")/_slurm_run.sh" "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
