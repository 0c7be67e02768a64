#!/usr/bin/env bash
# A machine that is lost, with its mounted bucket: trains into a bucket, kills the run and the mount in one moment, mounts
# the bucket anew without the old cache, and resumes. At the end the losses are those of a run that was never stopped.
#   tests/launch/lost_machine.sh FOLDER
# It needs rclone and fusermount3 in the PATH, /dev/fuse, and an empty folder; a folder in it is the bucket. The mount has
# the options of SkyPilot's mode: MOUNT_CACHED.
set -euo pipefail
folder=$(realpath "${1:?write tests/launch/lost_machine.sh FOLDER}")
cd "$(dirname "$0")/../.."
export JAX_PLATFORMS=cpu PYTHONPATH=$PWD
python=${PYTHON:-.venv/bin/python}
mkdir -p "$folder"/{bucket,first,second}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

attach() {
  rclone mount ":local:$folder/bucket" "$folder/$1" --vfs-cache-mode full --dir-cache-time 10s \
    --vfs-cache-poll-interval 10s --vfs-fast-fingerprint --cache-dir "$folder/cache_$1" --log-file "$folder/$1.log" &
  mount=$!
  until mountpoint --quiet "$folder/$1"; do sleep 0.1; done
}
train() {
  "$python" launch/main.py --config=tests/tiny_config.py --workdir="$1" --config.schedule.length=240 \
    --config.evaluation.every=120 --config.checkpoint_every=20 --config.log_every=20 >>"$folder/output.txt" 2>&1
}

train "$folder/whole"

attach first
train "$folder/first/run" &
run=$!
until compgen -G "$folder/bucket/run/checkpoints/*/checksums.json" >/dev/null; do
  kill -0 "$run" # else it has ended, and output.txt says why
  sleep 0.2
done
# The shell's child, and the Python that it waits for.
pkill -KILL --parent "$run"
kill -KILL "$run" "$mount"
wait || true
fusermount3 -uz "$folder/first"
echo "The bucket has checkpoints $(cd "$folder/bucket/run/checkpoints" && echo *) after the loss."

attach second
train "$folder/second/run"
"$python" - "$folder" <<'END'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])


def losses(run):
    lines = [json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines()]
    return {(line["step"], line["split"]): line.get("classifier/loss") for line in lines}


whole, resumed = losses("whole"), losses("second/run")
assert whole == resumed, (whole, resumed)
print(f"The resumed run has the {len(whole)} losses of the run that was never stopped.")
END
fusermount3 -uz "$folder/second"
wait
