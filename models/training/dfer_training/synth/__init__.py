# SPDX-License-Identifier: MPL-2.0
"""SynDFER: rendered people whose expressions, and when they show them, are known exactly."""
