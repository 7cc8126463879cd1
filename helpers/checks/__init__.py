"""The checks of the exercises, one module for each notebook.

Our own and no grader's: a hint for each likely mistake is the point, and Run All goes through with nothing solved.
"""
