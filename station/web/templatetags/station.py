"""Template tags of the station's pages."""

from django import template

register = template.Library()
