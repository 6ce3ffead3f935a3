"""What nitido is made and measured with: training, benchmark, degradations, listening statistics.

Built on nitido, and no part of what its users install.
"""
