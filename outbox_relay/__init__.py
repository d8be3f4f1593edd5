"""Step 2: wake → claim → render → deliver → settle.

Read downwards: ``cli`` · ``daemon`` · ``watchman`` · ``bootstrap`` · ``relay`` (one lane per channel) · ``claims``,
``settles``, ``rendering``, ``channels`` · ``schedule`` · ``messages``, ``outcomes``.
"""
