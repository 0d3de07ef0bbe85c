#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Surveillance recorder: the video goes to disk untouched, the expressions beside it as JSON lines.
# The analysis has its own leaky queue, so it can never hold the recording up.
# Usage: recorder.sh VIDEO.mkv RECORDS.jsonl    DFER_SOURCE replaces the camera (H.264).
set -eu
source=${DFER_SOURCE:-rtspsrc location=rtsp://camera.local/stream latency=200 ! rtph264depay}
# shellcheck disable=SC2086 # pieces of a pipeline
exec gst-launch-1.0 -q -e $source ! h264parse ! tee name=t \
  t. ! queue ! matroskamux ! filesink location="$1" \
  t. ! queue leaky=downstream max-size-buffers=60 max-size-time=0 max-size-bytes=0 ! avdec_h264 ! \
    videoconvert ! dferfilter mode=live ! dferrecorder location="$2" ! fakesink
