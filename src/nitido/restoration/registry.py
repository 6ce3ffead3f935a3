"""The stages in the order in which the signal passes them.

Those with `at_input_rate` work before the resampler, at the file's own sample rate.
"""

from __future__ import annotations

from nitido.restoration.stage import Remedy
from nitido.restoration.stages.bandwidth import Bandwidth
from nitido.restoration.stages.dc import Dc
from nitido.restoration.stages.declick import Declick
from nitido.restoration.stages.declip import Declip
from nitido.restoration.stages.decomb import Decomb
from nitido.restoration.stages.deshimmer import Deshimmer
from nitido.restoration.stages.dynamics import Deess, Deharsh, Demud
from nitido.restoration.stages.ending import Ending
from nitido.restoration.stages.loudness import Loudness
from nitido.restoration.stages.match import Match
from nitido.restoration.stages.peak import Peak
from nitido.restoration.stages.stems import Stems
from nitido.restoration.stages.stereo import Stereo
from nitido.restoration.stages.transients import Transients
from nitido.restoration.stages.width import Width

STAGES: dict[str, type[Remedy]] = {
    stage.name: stage
    for stage in (
        Peak,
        Declip,  # before the offset moves the levels at which it clipped
        Declick,  # as early: a resampler makes clicks longer
        Dc,
        Decomb,
        Deshimmer,
        Demud,
        Deharsh,
        Deess,  # before the treble is made of what lies below it
        Match,
        Bandwidth,
        Stems,
        Transients,
        Stereo,  # of what is stereo already: the side that `Width` makes is sound by itself
        Width,
        Ending,
        Loudness,
    )
}
