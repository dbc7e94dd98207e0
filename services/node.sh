#!/bin/bash
# One node of a cluster, on a disk that it shares with nobody: code from git, data from the store, then its part of the
# work; docs/cluster.md has the steps.
#
#   sbatch --nodes 4 --gpus-per-node 8 services/node.sh train STAGE      SLURM starts it on each of its nodes
#   NODES=4 NODE=0 FIRST=a.example services/node.sh train STAGE          anything else: on each, NODE from 0
#   NODE=0 FIRST=a.example services/node.sh ray                          the head of a Ray cluster, or one that joins it
#
# PROJECT is the address of the git repository, REVISION what is checked out (main), FOLDER where, the same on all nodes.
# What git, the store (AWS_...) and MLflow (MLFLOW_...) need comes from the environment.
#SBATCH --job-name=open-depth-anything
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -euo pipefail
export TORCH_CPP_LOG_LEVEL=ERROR # DDP looks for unused parameters on CPUs and warns that there are none

# SLURM keeps this file on the first node alone: srun gives its text to every node.
on_all_nodes() {
  local names # not by head: scontrol would die of the closed pipe, and pipefail end the job
  names=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
  FIRST=${names%%$'\n'*}
  export FIRST NODES="$SLURM_JOB_NUM_NODES" PROCESSES="${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}"
  srun --kill-on-bad-exit=1 bash -s "$@" < "$0"
}

code_and_data() {
  [ -d "$FOLDER/.git" ] || git clone --quiet "$PROJECT" "$FOLDER"
  cd "$FOLDER"
  git fetch --quiet origin "${REVISION:-main}"
  git checkout --quiet --force --detach FETCH_HEAD
  depth-anything repair # a fetch that was killed would otherwise count as whole
  dvc pull --force --allow-missing # a run that was killed may have left a result of its own
}

train() {
  torchrun --nnodes "$NODES" --node-rank "$NODE" --nproc-per-node "${PROCESSES:-1}" --max-restarts 0 \
    --master-addr "$FIRST" --master-port "${PORT:-29400}" -m tasks "$1"
  [ "$NODE" = 0 ] || return 0
  dvc repro --single-item "$1" # takes the result from .work
  dvc push
  git diff --quiet || git -c user.name=cluster -c user.email=cluster@localhost commit --quiet --all --message "Run $1"
  git push --quiet --force origin "HEAD:refs/heads/cluster/${1/@/-}"
}

join_ray() {
  : "${RAY_AUTH_TOKEN:?a secret of the cluster: whoever reaches a port of Ray can run code in it}"
  export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
  if [ "$NODE" = 0 ]; then
    exec ray start --block --disable-usage-stats --head --node-ip-address "$FIRST" --port "${PORT:-6379}"
  fi
  exec ray start --block --disable-usage-stats --address "$FIRST:${PORT:-6379}"
}

main() {
  : "${PROJECT:?the address of the git repository}" "${FOLDER:?a folder of this node}"
  if [ -n "${SLURM_JOB_ID:-}" ] && [ -z "${SLURM_PROCID:-}" ]; then
    on_all_nodes "$@"
    return
  fi
  NODE=${NODE:-${SLURM_NODEID:?NODE: the number of this node, from 0}}
  : "${FIRST:?the name of node 0}"
  code_and_data
  case "$1" in
    train) train "$2" ;;
    ray) join_ray ;;
    *) echo "error: $1: train STAGE or ray" >&2 && return 2 ;;
  esac
}

main "$@" < /dev/null
exit
