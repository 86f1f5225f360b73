#!/usr/bin/env bash
# Test under Slurm: [GPUS=8] tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options]
set -euo pipefail
if [ $# -lt 4 ]; then
  echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]" \
    "  (GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS)" >&2
  exit 2
fi
exec "$(dirname "$0")/_slurm_run.sh" "$1" "$2" test.py "$3" "$4" "${@:5}"
