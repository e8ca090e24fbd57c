"""Before any test imports the CDK."""

from __future__ import annotations

import os

import hypothesis

from dify_cdk.cdk_helpers.assets import use_wheel_node

# Validation is a test of its own (synth/test_validation.py), not a cost of every synthesis.
os.environ["CDK_VALIDATION"] = "false"
use_wheel_node()

# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("dify-cdk", deadline=None)
hypothesis.settings.load_profile("dify-cdk")
