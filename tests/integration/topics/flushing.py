"""Flushes the predictions of a site, in a process that can be killed: ``python flushing.py SITE``."""

import sys
from pathlib import Path

from appliance.base.clock import SystemClock
from appliance.config.site import open_site
from appliance.serving import prediction_topic
from appliance.serving.deployment import Deployment
from appliance.wiring.parts import Parts

assert prediction_topic  # all that is slow to import is there
table = Deployment(Parts(site=open_site(Path(sys.argv[1])), clock=SystemClock())).prediction_table()
print("ready", flush=True)
table.flush()
