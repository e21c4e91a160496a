"""Raccord: a streaming identity-resolution pipeline for omnichannel retail."""
