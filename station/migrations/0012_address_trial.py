"""How long a new address of the backend has been on trial, and which one failed last."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0011_own_password")]

    operations = [
        migrations.AddField(
            model_name="backendstate", name="trial_spent_ms", field=models.PositiveIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="backendstate",
            name="taken_back_url",
            field=models.CharField(blank=True, default="", max_length=700),
        ),
    ]
