#!/usr/bin/env bash
# Describe the sample in two shares: as an array job where SLURM is, one after the other where it is not.
set -euo pipefail

curate build --db jarvis --sample --executor none --out runs/shares
share='curate describe runs/shares --rank "$SLURM_ARRAY_TASK_ID" --of 2'
if sinfo > /dev/null 2>&1; then
    sbatch --array=0-1 --wait --wrap "$share"
else
    for SLURM_ARRAY_TASK_ID in 0 1; do
        export SLURM_ARRAY_TASK_ID
        eval "$share"
    done
fi
curate status runs/shares
