# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Object stores for tests: real servers, a strict identity server, a gate that makes a GCS emulator strict, a fault proxy."""
