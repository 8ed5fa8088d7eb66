"""What can be promised of a steering: bounds, certificates, authority and cost."""

from steersman.bounding.attachment import Attachment
from steersman.bounding.band import Band
from steersman.bounding.calibrating import bound
from steersman.bounding.calibration import BudgetRow, Calibration
from steersman.bounding.certificate import Certificate, CertificateRow
from steersman.bounding.cost import CostReport, realised_cost, without_prefilter
from steersman.bounding.coverage import Coverage, CoverageRow
from steersman.bounding.feature_authority import authority
from steersman.bounding.tracking_bound import TrackingBound

__all__ = [
    "Attachment",
    "Band",
    "BudgetRow",
    "Calibration",
    "Certificate",
    "CertificateRow",
    "CostReport",
    "Coverage",
    "CoverageRow",
    "TrackingBound",
    "authority",
    "bound",
    "realised_cost",
    "without_prefilter",
]
