"""What this machine is and what layercc makes of it: facts, and findings with what to do.

`examine` (`layercc.tools.doctor.examine`) returns all of it as data; `layercc doctor` prints it.
`registry` says what a fact and a finding are; `system`, `processors`, `cache`, `packages`, `gpu`
and `trials` ask for facts; `machine_findings` and `software_findings` draw conclusions.

Facts are asked for one by one, and one that cannot be had says why. What is needed beyond the
standard library is imported where it is used: an installation that is broken is when this is run.
"""
