"""Declarations of the demonstration as package data: feature views and recipes. No code."""
