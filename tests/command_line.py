"""What the command line says, for tests."""


def one_line(capsys):
    """What was said to standard error besides the progress of a training: one line, without traceback."""
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("epoch ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    assert lines[0].startswith("keras-mobilenets")
    return lines[0]


def last_line(capsys):
    """The last line of standard error, which holds no traceback."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()[-1]
