# SPDX-License-Identifier: MPL-2.0
"""The recipe behind the shipped networks: detector, frame encoder, temporal head."""

# DFEW's order, used by every network, table and file of the project.
CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
