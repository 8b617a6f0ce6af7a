"""Logs of task instances: found in files, remote folders and on workers, merged, and streamed."""

from __future__ import annotations
