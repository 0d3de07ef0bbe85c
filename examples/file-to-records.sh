#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# File to JSON lines, faster than real time: a record whenever a face's status or label changes.
# Usage: file-to-records.sh VIDEO RECORDS
set -eu
exec gst-launch-1.0 -q filesrc location="$1" ! decodebin ! videoconvert ! dferfilter ! \
  dferrecorder location="$2" ! fakesink
