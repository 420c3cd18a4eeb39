"""Settings of a loop that learns within seconds."""

from __future__ import annotations

# Sessions end soon, and weights are published soon after.
HASTY = {
    "RANKGR_SAMPLES_WINDOW_S": "2",
    "RANKGR_SAMPLES_GAP_S": "1",
    "RANKGR_SAMPLES_LATENESS_S": "0.5",
    "RANKGR_SAMPLES_IDLE_S": "1",
    "RANKGR_TRAINER_PUBLISH_EVERY_S": "2",
    "RANKGR_TRAINER_LOOK_EVERY_S": "0.5",
    "RANKGR_TRAINER_HELD_OUT_SHARE": "0",
    "RANKGR_TRAINER_GATE_GOLDEN_MS": "60000",
    "RANKGR_TRAINER_PORT": "0",
    "RANKGR_BUNDLE_POLL_S": "0.5",
}
