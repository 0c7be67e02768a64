#!/usr/bin/env bash
# Installs what a run needs on this machine, in the versions of requirements.txt:
#   launch/install.sh 'jax[tpu]'       on a host of a Cloud TPU
#   launch/install.sh 'jax[cuda13]'    on a machine with NVIDIA GPUs
# Machines of clouds often have an older Python than the project needs. uv brings one then.
set -euo pipefail
jax=${1:?"write launch/install.sh 'jax[tpu]' or launch/install.sh 'jax[cuda13]'"}
cd "$(dirname "$0")/.."

python=$(command -v python3 || true)
# Debian's Python can lack ensurepip, and then makes no environments.
if [ -z "$python" ] || ! "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  export PATH="$HOME/.local/bin:$PATH"
  command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  uv python install 3.12
  python=$(uv python find 3.12)
fi
command -v make >/dev/null || { sudo apt-get update && sudo apt-get install --yes make; }
make .venv/installed PYTHON="$python" JAX="$jax"
