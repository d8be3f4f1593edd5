"""Step 2: wake → claim → render → deliver → settle.

Read downwards: ``cli`` · ``daemon`` · ``watchman`` · ``bootstrap`` · ``relay`` (a lane for each channel and urgency) ·
``claims``, ``settles``, ``rendering``, ``channels`` · ``schedule`` · ``messages``, ``outcomes``.
"""
