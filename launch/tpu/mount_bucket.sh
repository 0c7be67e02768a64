#!/usr/bin/env bash
# Mounts a Cloud Storage bucket on this host: launch/tpu/mount_bucket.sh MY-BUCKET FOLDER
set -euo pipefail
bucket=${1:?"write launch/tpu/mount_bucket.sh MY-BUCKET FOLDER"}
folder=${2:?"write launch/tpu/mount_bucket.sh MY-BUCKET FOLDER"}

if mountpoint --quiet "$folder"; then
  echo "$folder is mounted already"
  exit 0
fi
if ! command -v gcsfuse >/dev/null; then
  key=/usr/share/keyrings/cloud.google.asc
  curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee "$key" >/dev/null
  echo "deb [signed-by=$key] https://packages.cloud.google.com/apt gcsfuse-$(lsb_release --codename --short) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
  # A new machine updates itself in its first minutes, and holds apt's lock meanwhile.
  sudo apt-get --option DPkg::Lock::Timeout=600 update
  sudo apt-get --option DPkg::Lock::Timeout=600 install --yes gcsfuse
fi
mkdir -p "$folder"
# Each host must see at once what another one has written; gcsfuse would remember for a minute, or for ever on a large
# machine, that a file is not there. A checkpoint is a folder that is renamed when it is whole.
gcsfuse --implicit-dirs --rename-dir-limit=10000 --metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0 \
  "${bucket#gs://}" "$folder"
