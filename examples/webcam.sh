#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Webcam to screen: each face with its expression drawn around it, no delay added.
# DFER_SOURCE and DFER_SINK replace camera and window.
set -eu
source=${DFER_SOURCE:-v4l2src}
sink=${DFER_SINK:-autovideosink}
# shellcheck disable=SC2086 # pieces of a pipeline
exec gst-launch-1.0 -q $source ! decodebin ! videoconvert ! dferfilter mode=live ! dferoverlay ! \
  videoconvert ! $sink
