"""SMS over SMPP 3.4, as carriers speak it.

Read downwards: ``session`` submits letters · ``connection`` one bind, kept alive · ``pdus`` what goes over
it, written by smpplib · ``statuses`` whose fault a refusal is.
"""
